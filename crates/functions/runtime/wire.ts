// Frames on the socket: writing, coalescing and reading. Knows no meaning of any frame.
// The format is described in protocol/worker-frames.md.

/** The version of the protocol that this worker speaks. */
export const PROTOCOL = 1;

/** What a frame is. Kinds below 64 go either way or to the worker, those from 64 come from it. */
export const KIND = {
  hello: 1,
  load: 2,
  invoke: 3,
  answer: 4,
  data: 5,
  end: 6,
  credit: 7,
  abort: 8,
  shutdown: 9,
  ping: 10,
  ready: 64,
  loaded: 65,
  call: 66,
  log: 67,
  result: 68,
  failed: 69,
  pong: 70,
} as const;

/** Bytes of one frame without its length. */
export const FRAME_BYTES_MAX = 40 * 1024 * 1024;
const PREFIX_BYTES = 13;
const BUFFER_BYTES = 64 * 1024;

/** A connection, as far as frames need it. */
export interface Pipe {
  read(into: Uint8Array): Promise<number | null>;
  write(bytes: Uint8Array): Promise<number>;
}

/** A frame that arrived. `head` and `body` are only valid until the next read. */
export interface Frame {
  kind: number;
  id: number;
  head: Uint8Array;
  body: Uint8Array;
}

/** Collects frames and writes them: at once when nothing is being written, else together. */
export interface Outbox {
  send(kind: number, id: number, head: string, body?: Uint8Array | string): void;
  /** Resolves when everything sent so far is written. */
  flushed(): Promise<void>;
}

export function createOutbox(pipe: Pipe, onBroken: (error: unknown) => void): Outbox {
  const encoder = new TextEncoder();
  let filling = new Uint8Array(BUFFER_BYTES);
  let spare = new Uint8Array(BUFFER_BYTES);
  let used = 0;
  let writing: Promise<void> | null = null;

  function reserve(bytes: number): void {
    if (filling.length - used >= bytes) return;
    const larger = new Uint8Array(Math.max(filling.length * 2, used + bytes));
    larger.set(filling.subarray(0, used));
    filling = larger;
  }

  async function drain(): Promise<void> {
    // One turn of the microtask queue, so that the frames of one moment go together.
    await undefined;
    while (used > 0) {
      const full = filling;
      const length = used;
      filling = spare;
      used = 0;
      for (let at = 0; at < length;) at += await pipe.write(full.subarray(at, length));
      // A buffer that one large frame needed is not kept.
      spare = full.length > 16 * BUFFER_BYTES ? new Uint8Array(BUFFER_BYTES) : full;
    }
    writing = null;
  }

  return {
    send(kind, id, head, body) {
      const bodyBytesMax = body === undefined ? 0 : typeof body === "string" ? body.length * 3 : body.length;
      reserve(PREFIX_BYTES + head.length * 3 + bodyBytesMax);
      const start = used;
      let at = start + PREFIX_BYTES;
      const headBytes = encoder.encodeInto(head, filling.subarray(at)).written;
      at += headBytes;
      if (typeof body === "string") {
        at += encoder.encodeInto(body, filling.subarray(at)).written;
      } else if (body !== undefined) {
        filling.set(body, at);
        at += body.length;
      }
      writeU32(filling, start, at - start - 4);
      filling[start + 4] = kind;
      writeU32(filling, start + 5, id);
      writeU32(filling, start + 9, headBytes);
      used = at;
      writing ??= drain().catch(onBroken);
    },
    async flushed() {
      while (writing) await writing;
    },
  };
}

/** Reads frames until the other side closes, handing each to `take` in order. */
export async function readFrames(pipe: Pipe, take: (frame: Frame) => void): Promise<void> {
  let buffer = new Uint8Array(BUFFER_BYTES);
  let used = 0;
  while (true) {
    const read = await pipe.read(buffer.subarray(used));
    if (read === null) return;
    used += read;
    let at = 0;
    let wanted = 0;
    while (used - at >= 4) {
      const length = readU32(buffer, at);
      if (length > FRAME_BYTES_MAX) throw new RangeError(`a frame of ${length} bytes, at most ${FRAME_BYTES_MAX}`);
      if (used - at < 4 + length) {
        wanted = 4 + length;
        break;
      }
      const headEnd = at + PREFIX_BYTES + readU32(buffer, at + 9);
      take({
        kind: buffer[at + 4],
        id: readU32(buffer, at + 5),
        head: buffer.subarray(at + PREFIX_BYTES, headEnd),
        body: buffer.subarray(headEnd, at + 4 + length),
      });
      at += 4 + length;
    }
    if (wanted > buffer.length || (used === buffer.length && at === 0)) {
      const larger = new Uint8Array(Math.max(wanted, buffer.length * 2));
      larger.set(buffer.subarray(at, used));
      buffer = larger;
    } else {
      buffer.copyWithin(0, at, used);
    }
    used -= at;
    if (used === 0 && buffer.length > 16 * BUFFER_BYTES) buffer = new Uint8Array(BUFFER_BYTES);
  }
}

function writeU32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value;
  bytes[at + 1] = value >>> 8;
  bytes[at + 2] = value >>> 16;
  bytes[at + 3] = value >>> 24;
}

function readU32(bytes: Uint8Array, at: number): number {
  return (bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) | (bytes[at + 3] << 24)) >>> 0;
}
