/** What Flux gives a function beside its input. */
interface Ctx {
  /** The request this call belongs to; the same in every function, flow and job that it leads to. */
  readonly requestId: string;
  /** The headers of the request, by name in lower case. */
  readonly headers: Readonly<Record<string, string>> & {
    get(name: string): string | null;
    has(name: string): boolean;
  };
  /** The verified claims of the caller; null where nobody has to be known. */
  readonly user: Readonly<Record<string, unknown>> | null;
  /** The project's configuration. */
  readonly env: Readonly<Record<string, string>>;
  readonly log: FluxLog & { debug: FluxLog; info: FluxLog; warn: FluxLog; error: FluxLog };
  readonly secrets: { get(name: string): Promise<string | null> };
  readonly db: FluxDb;
  readonly queue: FluxQueue;
  /** The project's other functions. */
  readonly functions: FluxFunctions;
  readonly flows: {
    /** Starts a flow; its id, or with `wait` its result. */
    start(name: FluxFlow, input?: unknown, options?: { wait?: boolean; idempotencyKey?: string }): Promise<any>;
  };
  readonly trace: { span<T>(name: string, work: () => T | Promise<T>): Promise<T> };
  /** Ends the call with this answer: throws. */
  error(status: number, code: string, message: string): never;
}

type FluxLog = (message: unknown, fields?: Record<string, unknown>) => void;

interface FluxQueue {
  /** Calls a function later, as an execution of its own. */
  send(
    name: keyof FluxFunctions,
    payload?: unknown,
    options?: { delayMs?: number; idempotencyKey?: string; orderingKey?: string },
  ): Promise<any>;
}

/** A function: `export default ((input, ctx) => …) satisfies Handler`. */
type Handler<Input = any, Output = unknown> = (input: Input, ctx: Ctx) => Output | Promise<Output>;

/** A function as other functions call it. */
type FluxCallable<Exported> = Exported extends { handler: infer H } ? FluxCallable<H>
  : Exported extends () => infer Output ? () => FluxOutput<Output>
  : Exported extends (input: infer Input, ctx: Ctx) => infer Output ? (input: Input) => FluxOutput<Output>
  : (input?: unknown) => Promise<any>;

type FluxOutput<Output> = Promise<Awaited<Output> extends Response ? any : Awaited<Output>>;
