// Replacing what every module can reach without an import. Most of it is loaded by Deno when it is
// first used, which costs milliseconds; a replacement must not be that first use.

/** Gives an object a member that can be changed and is not listed. */
export function define(target: object, name: string, value: unknown): void {
  Object.defineProperty(target, name, { value, writable: true, configurable: true, enumerable: false });
}

/** A global as it is now, read when it is wanted and not before. */
export function later<T>(name: string): () => T {
  const found = Object.getOwnPropertyDescriptor(globalThis, name);
  return () => (found?.get === undefined ? found?.value : found.get.call(globalThis)) as T;
}

/** Replaces a global by what `replace` makes of it, once somebody uses it. `real` loads it. */
export function replaceOnUse<T>(name: string, replace: (real: () => T) => unknown): void {
  if (!(name in globalThis)) return;
  const real = later<T>(name);
  let held: { value: unknown } | undefined;
  Object.defineProperty(globalThis, name, {
    configurable: true,
    enumerable: false,
    get: () => (held ??= { value: replace(real) }).value,
    set: (value: unknown) => held = { value },
  });
}
