// Host calls: sending them with their place in the source, and finding the one an answer is for.
import type { ReadClock } from "./clock.ts";
import type { Invocation } from "./invocation.ts";
import type { AnswerHead, CallHead, Site } from "./messages.ts";
import type { Scopes } from "./scope.ts";
import type { Stacks } from "./stacks.ts";
import type { Streams } from "./streams.ts";
import { FluxError } from "./thrown.ts";
import { type Frame, FRAME_BYTES_MAX, KIND, type Outbox } from "./wire.ts";

/** Host calls of one invocation that wait for an answer at the same time. */
export const CALLS_WAITING_MAX = 1_000;

export interface Request {
  invocation: Invocation;
  op: string;
  /** What it is called in messages: `fetch GET https://…`. */
  what: string;
  fields?: Record<string, unknown>;
  body?: Uint8Array | string;
  /** The function of the API that was called; its caller is the site. */
  below: (...args: never[]) => unknown;
  /** Whether the host stops when the answer is not wanted any more. */
  abortable?: true;
}

/** The answer of a fetch, its body if it came along. */
export interface RawResponse {
  response: NonNullable<AnswerHead["response"]>;
  body: Uint8Array;
}

export interface Sent<T> {
  id: number;
  answer: Promise<T>;
  /** Gives up: the answer rejects with this. */
  abandon(reason: unknown): void;
}

export interface HostCalls {
  send<T>(request: Request): Sent<T>;
  /** Sends a call whose answer nobody waits for. */
  tell(request: Request): void;
  onAnswer(frame: Frame): void;
}

interface Pending {
  invocation: Invocation;
  site: Site | undefined;
  resolve(value: unknown): void;
  reject(reason: unknown): void;
}

export interface CallParts {
  outbox: Outbox;
  scopes: Scopes;
  stacks: Stacks;
  streams: Streams;
  clock: ReadClock;
}

export function createHostCalls({ outbox, scopes, stacks, streams, clock }: CallParts): HostCalls {
  const pending = new Map<number, Pending>();
  const decoder = new TextDecoder();
  let lastId = 0;

  function write(request: Request, site: Site | undefined): number {
    const { invocation, op, fields, body } = request;
    if (invocation.ended) {
      throw new FluxError("invocation_ended", `${request.what}: the invocation it belongs to has ended`, undefined);
    }
    if (body !== undefined && body.length > FRAME_BYTES_MAX / (typeof body === "string" ? 3 : 1) - 65_536) {
      throw new FluxError(
        "body_too_large",
        `${request.what}: ${body.length} bytes or characters in one call are too many: stream it, or send it in parts`,
        413,
      );
    }
    // Even numbers are the worker's, odd ones the host's.
    lastId = (lastId + 2) >>> 0;
    const head: CallHead = {
      op,
      invocation: invocation.id,
      index: invocation.calls++,
      at_us: invocation.atUs(),
      site,
      span: scopes.current()?.span,
      ...fields,
    };
    outbox.send(KIND.call, lastId, JSON.stringify(head), body);
    return lastId;
  }

  return {
    send<T>(request: Request): Sent<T> {
      const { invocation } = request;
      if (invocation.waiting.size >= CALLS_WAITING_MAX) {
        throw new FluxError(
          "execution_limit",
          `${request.what}: ${invocation.waiting.size} calls of this invocation wait for an answer, at most ${CALLS_WAITING_MAX} may (CALLS_WAITING_MAX)`,
          undefined,
        );
      }
      const site = stacks.site(request.below);
      const id = write(request, site);
      const { promise, resolve, reject } = Promise.withResolvers<T>();
      pending.set(id, { invocation, site, resolve: resolve as (value: unknown) => void, reject });
      const abandon = (reason: unknown) => {
        if (!pending.delete(id)) return;
        invocation.waiting.delete(id);
        if (request.abortable) outbox.send(KIND.abort, id, "");
        reject(reason);
      };
      const what = site === undefined ? request.what : `${request.what} (${site[0]}:${site[1]}:${site[2]})`;
      invocation.waiting.set(id, { what, since: clock(), abandon });
      return { id, answer: promise, abandon };
    },

    tell(request) {
      write(request, undefined);
    },

    onAnswer({ id, head, body }) {
      const waiting = pending.get(id);
      if (waiting === undefined) return;
      pending.delete(id);
      waiting.invocation.waiting.delete(id);
      const answer: AnswerHead = head.length === 0 ? {} : JSON.parse(decoder.decode(head));
      if (answer.error !== undefined) {
        const { code, message, status } = answer.error;
        waiting.reject(placed(new FluxError(code, message, status), waiting.site));
      } else if (answer.response !== undefined) {
        // At once: its pieces may be in the frames that follow this one.
        if (answer.response.stream) streams.expect(id);
        waiting.resolve({ response: answer.response, body: body.slice() });
      } else {
        waiting.resolve(body.length === 0 ? null : JSON.parse(decoder.decode(body)));
      }
    },
  };
}

/** The error made here belongs where the call was made. */
function placed(error: FluxError, site: Site | undefined): FluxError {
  const place = site === undefined ? "" : `\n    at ${site[0]}:${site[1]}:${site[2]}`;
  Object.defineProperty(error, "stack", {
    value: `${error.name}: ${error.message}${place}`,
    configurable: true,
    writable: true,
  });
  return error;
}
