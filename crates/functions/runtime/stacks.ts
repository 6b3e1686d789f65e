// Where code is: stack traces with paths of the project instead of the machine's, in the lines of
// the TypeScript as it was written.
import type { Site, ThrownError } from "./messages.ts";

type StackFrames = ThrownError["frames"];

/** Stack frames that are kept. */
const FRAMES_MAX = 30;

export interface Stacks {
  /** From now on `root` is the folder of the bundle, and every stack says paths from there. */
  install(root: string): void;
  /** The innermost line of the project that led here, above `below`. */
  site(below: (...args: never[]) => unknown): Site | undefined;
  /** The lines of the project and its packages in a stack trace. */
  frames(stack: unknown): StackFrames;
}

interface CallSite {
  getFileName(): string | null;
  getLineNumber(): number | null;
  getColumnNumber(): number | null;
  getFunctionName(): string | null;
  isAsync(): boolean;
}

/** An object whose stack is asked for as a site. */
class SiteProbe {
  stack: unknown;
}

const FRAME_LINE = /^ {4}at (?:async )?(?:(.*) \()?([^()]+):(\d+):(\d+)\)?$/;

export function createStacks(): Stacks {
  const capture = Error.captureStackTrace as (probe: object, below: (...args: never[]) => unknown) => void;
  let prefix = "";

  /** The path from the project's folder; nothing for code that is not the project's. */
  function projectPath(file: string | null): string | undefined {
    if (file === null) return undefined;
    const path = file.startsWith("file://") ? file.slice(7) : file;
    if (prefix !== "" && path.startsWith(prefix)) return path.slice(prefix.length);
    const packages = path.lastIndexOf("/node_modules/");
    return packages === -1 ? undefined : path.slice(packages + 1);
  }

  function siteOf(callSites: CallSite[]): Site | undefined {
    for (const callSite of callSites) {
      const path = projectPath(callSite.getFileName());
      if (path === undefined || path.startsWith("node_modules/")) continue;
      return [path, callSite.getLineNumber() ?? 1, callSite.getColumnNumber() ?? 1];
    }
    return undefined;
  }

  function lineOf(callSite: CallSite): string | undefined {
    const path = projectPath(callSite.getFileName());
    if (path === undefined) return undefined;
    const place = `${path}:${callSite.getLineNumber()}:${callSite.getColumnNumber()}`;
    const name = callSite.getFunctionName();
    const async = callSite.isAsync() ? "async " : "";
    return name === null ? `    at ${async}${place}` : `    at ${async}${name} (${place})`;
  }

  return {
    install(root) {
      prefix = root;
      Error.prepareStackTrace = (error: unknown, callSites: unknown) => {
        if (error instanceof SiteProbe) return siteOf(callSites as CallSite[]);
        const lines = (callSites as CallSite[]).map(lineOf).filter((line) => line !== undefined);
        return [headline(error), ...lines].join("\n");
      };
    },
    site(below) {
      const probe = new SiteProbe();
      capture(probe, below);
      return Array.isArray(probe.stack) ? probe.stack as unknown as Site : undefined;
    },
    frames(stack) {
      if (typeof stack !== "string") return [];
      const frames: StackFrames = [];
      for (const line of stack.split("\n")) {
        const match = FRAME_LINE.exec(line);
        if (match === null) continue;
        const file = prefix !== "" && match[2].includes("://") ? projectPath(match[2]) : match[2];
        if (file === undefined || file.startsWith("ext:") || file.startsWith("/")) continue;
        frames.push({ function: match[1], file, line: Number(match[3]), column: Number(match[4]) });
        if (frames.length === FRAMES_MAX) break;
      }
      return frames;
    },
  };
}

function headline(error: unknown): string {
  try {
    return String(error);
  } catch {
    return "an error that cannot be described";
  }
}
