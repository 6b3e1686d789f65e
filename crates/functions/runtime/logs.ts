// Log lines: `ctx.log` and `console`, bounded per invocation.
import type { Invocation } from "./invocation.ts";
import type { Level, LogHead, Site } from "./messages.ts";
import type { Scopes } from "./scope.ts";
import type { Stacks } from "./stacks.ts";
import { KIND, type Outbox } from "./wire.ts";

/** Characters of one line; the rest is cut. */
export const LOG_LINE_CHARS_MAX = 32 * 1024;

export interface Logs {
  log(invocation: Invocation | undefined, level: Level, line: Line): void;
}

export interface Line {
  message: string;
  fields?: unknown;
  below?: (...args: never[]) => unknown;
}

export function createLogs(outbox: Outbox, stacks: Stacks): Logs {
  return {
    log(invocation, level, { message, fields, below }) {
      const text = cut(message);
      const shown = fields === undefined ? undefined : writable(fields);
      const weight = text.length + (shown?.length ?? 0);
      if (invocation !== undefined && (invocation.ended || !invocation.mayLog(weight))) return;
      const site: Site | undefined = below === undefined ? undefined : stacks.site(below);
      const head: LogHead = { level, message: text, at_us: invocation?.atUs() ?? 0, site };
      outbox.send(KIND.log, invocation?.id ?? 0, JSON.stringify(head), shown);
    },
  };
}

/** Fields as JSON; what cannot be written says so. */
function writable(fields: unknown): string {
  try {
    const text = JSON.stringify(fields);
    return text === undefined || text.length > LOG_LINE_CHARS_MAX
      ? JSON.stringify({ dropped: `fields of ${text?.length ?? 0} characters, at most ${LOG_LINE_CHARS_MAX} are kept` })
      : text;
  } catch (error) {
    return JSON.stringify({ dropped: `fields that are not JSON: ${error instanceof Error ? error.message : error}` });
  }
}

function cut(text: string): string {
  return text.length <= LOG_LINE_CHARS_MAX ? text : `${text.slice(0, LOG_LINE_CHARS_MAX)}…`;
}

/** A `console` whose lines are log lines of the running invocation. */
export function createConsole(logs: Logs, scopes: Scopes, inspect: (value: unknown) => string): Partial<Console> {
  const counts = new Map<string, number>();
  const begun = new Map<string, number>();
  const show = (args: unknown[]) => args.map((arg) => typeof arg === "string" ? arg : inspect(arg)).join(" ");
  const writer = (level: Level) => {
    const write = (...args: unknown[]): void => {
      logs.log(scopes.current()?.invocation, level, { message: show(args), below: write });
    };
    return write;
  };
  const [debug, info, warn, error] = [writer("debug"), writer("info"), writer("warn"), writer("error")];
  return {
    debug,
    log: info,
    info,
    warn,
    error,
    trace: debug,
    dir: info,
    dirxml: info,
    table: info,
    group: info,
    groupCollapsed: info,
    groupEnd() {},
    clear() {},
    assert(condition?: boolean, ...args: unknown[]) {
      if (!condition) error("Assertion failed:", ...args);
    },
    count(label = "default") {
      counts.set(label, (counts.get(label) ?? 0) + 1);
      info(`${label}: ${counts.get(label)}`);
    },
    countReset(label = "default") {
      counts.delete(label);
    },
    time(label = "default") {
      begun.set(label, performance.now());
    },
    timeLog(label = "default", ...args: unknown[]) {
      info(`${label}: ${performance.now() - (begun.get(label) ?? performance.now())} ms`, ...args);
    },
    timeEnd(label = "default") {
      info(`${label}: ${performance.now() - (begun.get(label) ?? performance.now())} ms`);
      begun.delete(label);
    },
  };
}
