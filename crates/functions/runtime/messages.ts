// The heads of frames, as JSON. The Rust side has the same shapes in src/protocol/heads.rs.

/** Every frame that begins the talk names the version. */
export interface HelloHead {
  protocol: number;
}

export interface LoadHead {
  /** The folder of the bundle, absolute, with a slash at its end. */
  root: string;
  functions: { name: string; file: string }[];
  /** Whether modules of Node may be imported. */
  node: boolean;
  /** Randomness for what modules do while they load: 64 hexadecimal digits. */
  seed: string;
}

export interface LoadedFunction {
  name: string;
  input?: unknown;
  output?: unknown;
  error?: ThrownError;
}

export interface InvokeHead {
  function: string;
  request_id: string;
  headers?: [string, string][];
  user?: unknown;
  env?: Record<string, string>;
  /** 64 hexadecimal digits. */
  seed: string;
  /** Clock reads to serve instead of the clock's. */
  clock?: number[];
}

/** The answer of a host call. Without `error` and `response`, the body is a JSON value. */
export interface AnswerHead {
  error?: { code: string; message: string; status?: number };
  response?: {
    status: number;
    headers: [string, string][];
    url: string;
    redirected: boolean;
    /** The body follows in `data` frames. */
    stream: boolean;
  };
}

/** Fields of every call beside those of its operation. */
export interface CallHead {
  op: string;
  invocation: number;
  index: number;
  at_us: number;
  site?: Site;
  span?: number;
  [field: string]: unknown;
}

/** File from the project's folder, line and column from 1. */
export type Site = [file: string, line: number, column: number];

export type Level = "debug" | "info" | "warn" | "error";

export interface LogHead {
  level: Level;
  message: string;
  fields?: unknown;
  at_us: number;
  site?: Site;
}

/** What is measured of a run. */
export interface RunHead {
  cpu_us: number;
  clock?: number[];
  clock_dropped?: number;
  logs_dropped?: number;
}

export interface ResultHead extends RunHead {
  response?: { status: number; headers: [string, string][] };
}

export interface ThrownError {
  name: string;
  message: string;
  code?: string;
  status?: number;
  intent?: "answer";
  frames: { function?: string; file: string; line: number; column: number }[];
  causes: string[];
}

/** Why there is no output. */
export type Failure =
  | { kind: "thrown"; thrown: ThrownError }
  | { kind: "exit"; code: number }
  | { kind: "unserialisable"; reason: string }
  | { kind: "input"; reason: string }
  | { kind: "unknown_function" }
  | { kind: "aborted"; pending: string[] };

export interface FailedHead extends RunHead {
  failure: Failure;
}
