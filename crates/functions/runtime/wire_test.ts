// The frames of protocol/worker, read and written.
import { createOutbox, type Frame, readFrames } from "./wire.ts";

interface Case {
  name: string;
  id: number;
  head: string;
  body: string;
  frame: string;
}

const cases: Case[] = JSON.parse(
  await Deno.readTextFile(new URL("../../../protocol/worker/frames.json", import.meta.url)),
);
const hex = (bytes: Uint8Array) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
const bytes = (text: string) => Uint8Array.from(text.match(/../g) ?? [], (digits) => parseInt(digits, 16));

function equal(found: unknown, expected: unknown, name: string): void {
  if (JSON.stringify(found) !== JSON.stringify(expected)) {
    throw new Error(`${name}: ${JSON.stringify(found)} is not ${JSON.stringify(expected)}`);
  }
}

/** A pipe that gives these bytes in pieces of this size. */
function source(all: Uint8Array, size: number) {
  let at = 0;
  return {
    read(into: Uint8Array): Promise<number | null> {
      if (at === all.length) return Promise.resolve(null);
      const length = Math.min(size, into.length, all.length - at);
      into.set(all.subarray(at, at + length));
      at += length;
      return Promise.resolve(length);
    },
    write: () => Promise.reject(new Error("nothing is written here")),
  };
}

Deno.test("the cases are read, however they are cut", async () => {
  const all = bytes(cases.map((each) => each.frame).join(""));
  for (const size of [1, 7, 64, 100_000]) {
    const found: unknown[] = [];
    await readFrames(source(all, size), ({ kind, id, head, body }: Frame) => {
      found.push([kind, id, new TextDecoder().decode(head), hex(body)]);
    });
    const expected = cases.map((each) => [bytes(each.frame)[4], each.id, each.head, each.body]);
    equal(found, expected, `pieces of ${size}`);
  }
});

Deno.test("the cases are written, a few bytes at a time", async () => {
  const written: number[] = [];
  const pipe = {
    read: () => Promise.resolve(null),
    write(piece: Uint8Array): Promise<number> {
      const length = Math.min(10, piece.length);
      written.push(...piece.subarray(0, length));
      return Promise.resolve(length);
    },
  };
  const outbox = createOutbox(pipe, (error) => {
    throw error;
  });
  for (const { frame, id, head, body } of cases) outbox.send(bytes(frame)[4], id, head, bytes(body));
  await outbox.flushed();
  equal(hex(Uint8Array.from(written)), cases.map((each) => each.frame).join(""), "all frames");
});

Deno.test("a frame larger than the buffer is read whole", async () => {
  const body = new Uint8Array(300_000).fill(7);
  const frame = new Uint8Array(13 + body.length);
  new DataView(frame.buffer).setUint32(0, 9 + body.length, true);
  frame[4] = 5;
  frame.set(body, 13);
  const twice = new Uint8Array(2 * frame.length);
  twice.set(frame);
  twice.set(frame, frame.length);
  const lengths: number[] = [];
  await readFrames(source(twice, 5_000), (each) => {
    lengths.push(each.body.length);
  });
  equal(lengths, [300_000, 300_000], "two large frames");
});
