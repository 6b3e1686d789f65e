// Calls of functions: from the frame that begins one to the frame that ends it.
import type { ReadClock } from "./clock.ts";
import type { CpuMeter } from "./cpu.ts";
import { Invocation } from "./invocation.ts";
import type { Handler } from "./load.ts";
import type { FailedHead, Failure, InvokeHead, ResultHead } from "./messages.ts";
import { writeOutput } from "./output.ts";
import type { Scopes } from "./scope.ts";
import type { Stacks } from "./stacks.ts";
import type { Streams } from "./streams.ts";
import { describe, FluxError } from "./thrown.ts";
import { KIND, type Outbox } from "./wire.ts";

export interface ServerParts {
  outbox: Outbox;
  streams: Streams;
  stacks: Stacks;
  scopes: Scopes;
  clock: ReadClock;
  cpu: CpuMeter;
  ctx(invocation: Invocation): unknown;
  onBegin(id: number): void;
}

export interface Server {
  /** From now on these are called. */
  serve(handlers: Map<string, Handler>): void;
  invoke(id: number, head: Uint8Array, body: Uint8Array): void;
  abort(id: number): void;
}

interface Running {
  invocation: Invocation;
  entered: number;
}

export function createServer(parts: ServerParts): Server {
  const { outbox, streams, stacks, scopes, clock, cpu } = parts;
  const decoder = new TextDecoder();
  const running = new Map<number, Running>();
  let handlers = new Map<string, Handler>();

  /** Ends an invocation once; gives its microseconds of processor time. */
  function end(invocation: Invocation): number | undefined {
    const entry = running.get(invocation.id);
    if (entry === undefined) return undefined;
    running.delete(invocation.id);
    invocation.ended = true;
    for (const clear of [...invocation.timers]) clear();
    const gone = new FluxError("invocation_ended", "the invocation has ended", undefined);
    streams.stop(invocation.id, gone);
    for (const waiting of [...invocation.waiting.values()]) waiting.abandon(gone);
    return cpu.leave(entry.entered);
  }

  function fail(invocation: Invocation, failure: Failure): void {
    const cpuUs = end(invocation);
    if (cpuUs === undefined) return;
    const head: FailedHead = { ...invocation.run(cpuUs), failure };
    outbox.send(KIND.failed, invocation.id, JSON.stringify(head));
  }

  function succeed(invocation: Invocation, output: unknown): void {
    const written = writeOutput(output);
    if ("reason" in written) return fail(invocation, { kind: "unserialisable", reason: written.reason });
    const cpuUs = end(invocation);
    if (cpuUs !== undefined) {
      const head: ResultHead = invocation.run(cpuUs);
      outbox.send(KIND.result, invocation.id, JSON.stringify(head), written.json);
    }
  }

  /** The head goes at once, the body piece by piece; the invocation ends with the body. */
  async function respond(invocation: Invocation, response: Response): Promise<void> {
    if (response.bodyUsed) {
      return fail(invocation, { kind: "unserialisable", reason: "the body of the returned Response was read already" });
    }
    const head: ResultHead = {
      cpu_us: 0,
      response: { status: response.status, headers: [...response.headers] },
    };
    outbox.send(KIND.result, invocation.id, JSON.stringify(head));
    if (response.body !== null) await streams.send(invocation.id, response.body);
    const cpuUs = end(invocation);
    if (cpuUs !== undefined) outbox.send(KIND.end, invocation.id, JSON.stringify(invocation.run(cpuUs)));
  }

  async function run(invocation: Invocation, handler: Handler, input: unknown): Promise<void> {
    try {
      const output = await handler(input, parts.ctx(invocation));
      if (invocation.ended) return;
      if (isResponse(output)) await respond(invocation, output);
      else succeed(invocation, output);
    } catch (thrown) {
      invocation.fail({ kind: "thrown", thrown: describe(thrown, stacks) });
    }
  }

  return {
    serve(loaded) {
      handlers = loaded;
    },

    invoke(id, headBytes, body) {
      const head: InvokeHead = JSON.parse(decoder.decode(headBytes));
      const invocation = new Invocation(id, head, clock, fail);
      running.set(id, { invocation, entered: cpu.enter() });
      const handler = handlers.get(head.function);
      if (handler === undefined) return fail(invocation, { kind: "unknown_function" });
      let input: unknown;
      try {
        if (body.length > 0) input = JSON.parse(decoder.decode(body));
      } catch (error) {
        return fail(invocation, { kind: "input", reason: `the input is not JSON: ${(error as Error).message}` });
      }
      parts.onBegin(id);
      scopes.run({ invocation, span: undefined }, () => void run(invocation, handler, input));
    },

    abort(id) {
      const invocation = running.get(id)?.invocation;
      if (invocation !== undefined) fail(invocation, { kind: "aborted", pending: invocation.pending() });
    },
  };
}

/** Asks for the class only if the name is right: looking it up loads it. */
function isResponse(output: unknown): output is Response {
  return Object.prototype.toString.call(output) === "[object Response]" && output instanceof Response;
}
