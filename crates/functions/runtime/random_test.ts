// ChaCha20 against the keystream of RFC 8439, appendix A.1, and what is drawn from it.
import { createRandom, uuid } from "./random.ts";

const hex = (bytes: Uint8Array) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

function check(seed: string, from: number, expected: string): void {
  const bytes = new Uint8Array(from + expected.length / 2);
  createRandom(seed).fill(bytes);
  const found = hex(bytes.subarray(from));
  if (found !== expected) throw new Error(`${seed} at ${from}: ${found}`);
}

Deno.test("the stream is ChaCha20", () => {
  const zero = "00".repeat(32);
  // Test vector 1: counter 0; test vector 2: counter 1.
  check(
    zero,
    0,
    "76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7da41597c5157488d7724e03fb8d84a376a43b8f41518a11cc387b669b2ee6586",
  );
  check(
    zero,
    64,
    "9f07e7be5551387a98ba977c732d080dcb0f29a048e3656912c6533e32ee7aed29b721769ce64e43d57133b074d839d531ed1f28510afb45ace10a1f4b794d6f",
  );
  // Test vector 3: the last bit of the key, counter 1.
  check(
    "00".repeat(31) + "01",
    64,
    "3aeb5224ecf849929b9d828db1ced4dd832025e8018b8160b82284f3c949aa5a8eca00bbb4a73bdad192b5c42f73f2fd4e273644c8b36125a64addeb006c13a0",
  );
});

Deno.test("numbers are from 0 to 1 and UUIDs are of version 4", () => {
  const random = createRandom("07".repeat(32));
  let sum = 0;
  for (let i = 0; i < 10_000; i++) {
    const value = random.double();
    if (!(value >= 0 && value < 1)) throw new Error(String(value));
    sum += value;
  }
  if (Math.abs(sum / 10_000 - 0.5) > 0.02) throw new Error(`the mean is ${sum / 10_000}`);
  for (let i = 0; i < 100; i++) {
    const id = uuid(random);
    if (!/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/.test(id)) throw new Error(id);
  }
});
