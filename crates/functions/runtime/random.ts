// Randomness from a seed: ChaCha20 (RFC 8439) as a stream. Each invocation has its own, so that a
// run can be repeated and nothing that one caller sees tells what another one gets.

export interface Random {
  fill(bytes: Uint8Array): void;
  /** From 0 to 1, without 1, with 53 random bits. */
  double(): number;
}

/** The stream of a seed of 64 hexadecimal digits. */
export function createRandom(seed: string): Random {
  const state = new Uint32Array(16);
  state.set([0x61707865, 0x3320646e, 0x79622d32, 0x6b206574]);
  for (let word = 0; word < 8; word++) {
    let value = 0;
    for (let byte = 3; byte >= 0; byte--) {
      const at = (word * 4 + byte) * 2;
      value = (value << 8) | parseInt(seed.slice(at, at + 2), 16);
    }
    state[4 + word] = value;
  }
  const block = new Uint32Array(16);
  const bytes = new Uint8Array(block.buffer);
  let next = bytes.length;

  function refill(): void {
    permute(block, state);
    // The counter has 64 bits here; RFC 8439 would end after 256 GiB.
    state[12]++;
    if (state[12] === 0) state[13]++;
    next = 0;
  }

  function byte(): number {
    if (next === bytes.length) refill();
    return bytes[next++];
  }

  return {
    fill(into) {
      for (let at = 0; at < into.length; at++) into[at] = byte();
    },
    double() {
      const low = byte() | (byte() << 8) | (byte() << 16) | (byte() << 24);
      const high = byte() | (byte() << 8) | ((byte() & 0x1f) << 16);
      return (high * 0x100000000 + (low >>> 0)) / 0x20000000000000;
    },
  };
}

function permute(out: Uint32Array, state: Uint32Array): void {
  out.set(state);
  for (let round = 0; round < 10; round++) {
    quarter(out, 0, 4, 8, 12);
    quarter(out, 1, 5, 9, 13);
    quarter(out, 2, 6, 10, 14);
    quarter(out, 3, 7, 11, 15);
    quarter(out, 0, 5, 10, 15);
    quarter(out, 1, 6, 11, 12);
    quarter(out, 2, 7, 8, 13);
    quarter(out, 3, 4, 9, 14);
  }
  for (let word = 0; word < 16; word++) out[word] += state[word];
}

function quarter(x: Uint32Array, a: number, b: number, c: number, d: number): void {
  x[a] += x[b];
  x[d] = rotate(x[d] ^ x[a], 16);
  x[c] += x[d];
  x[b] = rotate(x[b] ^ x[c], 12);
  x[a] += x[b];
  x[d] = rotate(x[d] ^ x[a], 8);
  x[c] += x[d];
  x[b] = rotate(x[b] ^ x[c], 7);
}

function rotate(value: number, bits: number): number {
  return (value << bits) | (value >>> (32 - bits));
}

const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));

/** A version 4 UUID (RFC 9562). */
export function uuid(random: Random): `${string}-${string}-${string}-${string}-${string}` {
  const bytes = new Uint8Array(16);
  random.fill(bytes);
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const text = (from: number, to: number) => Array.from(bytes.subarray(from, to), (byte) => HEX[byte]).join("");
  return `${text(0, 4)}-${text(4, 6)}-${text(6, 8)}-${text(8, 10)}-${text(10, 16)}`;
}
