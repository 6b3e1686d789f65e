// Bodies that come or go piece by piece, with flow control: the receiver grants bytes, the sender
// sends no more than was granted.
import { KIND, type Outbox } from "./wire.ts";

/** Bytes that may be under way before the receiver took any. */
export const WINDOW_BYTES = 256 * 1024;
/** Bytes of one piece. */
const PIECE_BYTES_MAX = 64 * 1024;

export interface Streams {
  /** A body will arrive as exchange `id`; what comes before anybody reads it is kept. */
  expect(id: number): void;
  /** The expected body. `onCancel` is told if its reader gives up. */
  receive(id: number, onCancel: () => void): ReadableStream<Uint8Array>;
  /** Sends a body as exchange `id`; resolves when all of it is written, without the closing frame. */
  send(id: number, body: ReadableStream<Uint8Array>): Promise<void>;
  /** The host lost interest in what is sent as exchange `id`. */
  stop(id: number, reason: unknown): void;
  /** Forgets what is received as exchange `id`, with this error for its reader. */
  forget(id: number, reason: unknown): void;
  onData(id: number, bytes: Uint8Array): void;
  onEnd(id: number, error: string | undefined): void;
  onCredit(id: number, bytes: number): void;
}

interface Inbound {
  pieces: Uint8Array[];
  /** Taken by the reader and not yet granted again. */
  taken: number;
  end: { error: Error | undefined } | undefined;
  wake: () => void;
}

interface Outbound {
  credit: number;
  stopped: { reason: unknown } | undefined;
  wake: () => void;
}

const nothing = () => {};

export function createStreams(outbox: Outbox): Streams {
  const inbound = new Map<number, Inbound>();
  const outbound = new Map<number, Outbound>();

  function grant(id: number, stream: Inbound, bytes: number): void {
    stream.taken += bytes;
    if (stream.taken < WINDOW_BYTES / 4 || stream.end !== undefined) return;
    outbox.send(KIND.credit, id, JSON.stringify({ bytes: stream.taken }));
    stream.taken = 0;
  }

  return {
    expect(id) {
      inbound.set(id, { pieces: [], taken: 0, end: undefined, wake: nothing });
    },

    receive(id, onCancel) {
      const stream = inbound.get(id);
      if (stream === undefined) throw new Error(`no body was expected as ${id}`);
      return new ReadableStream<Uint8Array>({
        async pull(controller) {
          while (stream.pieces.length === 0 && stream.end === undefined) {
            await new Promise<void>((resolve) => stream.wake = resolve);
          }
          const piece = stream.pieces.shift();
          if (piece !== undefined) {
            controller.enqueue(piece);
            grant(id, stream, piece.length);
          } else {
            inbound.delete(id);
            if (stream.end?.error !== undefined) controller.error(stream.end.error);
            else controller.close();
          }
        },
        cancel() {
          if (inbound.delete(id) && stream.end === undefined) onCancel();
        },
      }, { highWaterMark: 0 });
    },

    async send(id, body) {
      const stream: Outbound = { credit: WINDOW_BYTES, stopped: undefined, wake: nothing };
      outbound.set(id, stream);
      const reader = body.getReader();
      try {
        while (true) {
          const { done, value } = await reader.read();
          if (done) return;
          if (!(value instanceof Uint8Array)) throw new TypeError("a body is a stream of Uint8Array");
          for (let at = 0; at < value.length;) {
            while (stream.credit === 0 && stream.stopped === undefined) {
              await new Promise<void>((resolve) => stream.wake = resolve);
            }
            if (stream.stopped !== undefined) throw stream.stopped.reason;
            const length = Math.min(value.length - at, PIECE_BYTES_MAX, stream.credit);
            outbox.send(KIND.data, id, "", value.subarray(at, at + length));
            stream.credit -= length;
            at += length;
          }
          if (stream.stopped !== undefined) throw stream.stopped.reason;
        }
      } catch (error) {
        reader.cancel(error).catch(nothing);
        throw error;
      } finally {
        outbound.delete(id);
      }
    },

    stop(id, reason) {
      const stream = outbound.get(id);
      if (stream === undefined) return;
      stream.stopped = { reason };
      stream.wake();
    },

    forget(id, reason) {
      const stream = inbound.get(id);
      if (stream === undefined) return;
      inbound.delete(id);
      stream.end = { error: reason instanceof Error ? reason : new Error(String(reason)) };
      stream.pieces = [];
      stream.wake();
    },

    onData(id, bytes) {
      const stream = inbound.get(id);
      if (stream === undefined) return;
      stream.pieces.push(bytes.slice());
      stream.wake();
    },

    onEnd(id, error) {
      const stream = inbound.get(id);
      if (stream === undefined) return;
      stream.end = { error: error === undefined ? undefined : new TypeError(error) };
      stream.wake();
    },

    onCredit(id, bytes) {
      const stream = outbound.get(id);
      if (stream === undefined) return;
      stream.credit += bytes;
      stream.wake();
    },
  };
}
