// What was thrown, described: errors, and what is no error.
import type { ThrownError } from "./messages.ts";
import type { Stacks } from "./stacks.ts";

const MESSAGE_CHARS_MAX = 8_192;
const CAUSES_MAX = 8;

/** An error with a code and a status: of `ctx.error`, or of a host call that failed. */
export class FluxError extends Error {
  code: string;
  status: number | undefined;

  constructor(code: string, message: string, status: number | undefined, options?: ErrorOptions) {
    super(message, options);
    this.name = "FluxError";
    this.code = code;
    this.status = status;
  }
}

/** An error that the function gives its caller. */
export class AnswerError extends FluxError {
  constructor(status: number, code: string, message: string) {
    super(code, message, status);
    this.name = "AnswerError";
  }
}

/** Deno's refusals name command-line flags; functions have none. */
const CAPABILITIES: [RegExp, string][] = [
  [/ net access/, "functions have no network permission: use `fetch`"],
  [/ (read|write) access/, "functions have no files beyond their own bundle: use `ctx.db` or `fetch`"],
  [/ run access/, "functions cannot start programs"],
  [/ env access/, "use `ctx.env` and `ctx.secrets.get(name)`"],
  [/ sys access/, "functions cannot look at the machine they run on"],
  [/ ffi access/, "functions cannot load native libraries: use WebAssembly"],
  [/ import access/, "modules are resolved when the project is bundled: add the package to package.json"],
];

export function describe(thrown: unknown, stacks: Stacks): ThrownError {
  try {
    return thrown instanceof Error ? describeError(thrown, stacks) : describeOther(thrown);
  } catch {
    return { name: "Error", message: "what was thrown cannot be described", frames: [], causes: [] };
  }
}

function describeError(error: Error, stacks: Stacks): ThrownError {
  const described: ThrownError = {
    name: cut(String(error.name)),
    message: cut(explain(error)),
    frames: stacks.frames(error.stack),
    causes: causesOf(error),
  };
  const { code, status } = error as { code?: unknown; status?: unknown };
  if (typeof code === "string") described.code = cut(code);
  if (Number.isInteger(status) && (status as number) >= 400 && (status as number) <= 599) {
    described.status = status as number;
  }
  if (error instanceof AnswerError) described.intent = "answer";
  return described;
}

function describeOther(thrown: unknown): ThrownError {
  const kind = thrown === null ? "null" : typeof thrown;
  const article = kind === "undefined" || kind === "null" ? "" : kind === "object" ? "an " : "a ";
  return {
    name: `a thrown ${kind}`,
    message: cut(`${article}${kind} was thrown: ${show(thrown)}`),
    frames: [],
    causes: [],
  };
}

/** The message, with the way out where Deno refused something. */
export function explain(error: Error): string {
  const message = String(error.message);
  const refused = error.name === "NotCapable" || message.includes("run again with the --allow-");
  const capability = refused ? CAPABILITIES.find(([pattern]) => pattern.test(message)) : undefined;
  if (capability === undefined) return message;
  return `${message.replace(/, run again with the .*$/s, "")}; ${capability[1]}`;
}

function causesOf(error: Error): string[] {
  const causes: string[] = [];
  const seen = new Set<unknown>([error]);
  let cause: unknown = error.cause;
  while (cause !== undefined && causes.length < CAUSES_MAX && !seen.has(cause)) {
    seen.add(cause);
    causes.push(cut(cause instanceof Error ? `${cause.name}: ${cause.message}` : show(cause)));
    cause = cause instanceof Error ? cause.cause : undefined;
  }
  return causes;
}

function show(value: unknown): string {
  if (typeof value === "object" && value !== null) {
    try {
      return JSON.stringify(value) ?? String(value);
    } catch {
      return Object.prototype.toString.call(value);
    }
  }
  return typeof value === "string" ? JSON.stringify(value) : String(value);
}

function cut(text: string): string {
  return text.length <= MESSAGE_CHARS_MAX ? text : `${text.slice(0, MESSAGE_CHARS_MAX)}…`;
}
