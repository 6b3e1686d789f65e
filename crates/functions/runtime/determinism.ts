// Clock and randomness of the language and the platform, answered by the invocation that asks.
// Whatever reads time or draws randomness in another way is listed in refuse.ts.
import type { ReadClock } from "./clock.ts";
import { define, replaceOnUse } from "./globals.ts";
import { type Random, uuid } from "./random.ts";
import type { Scopes } from "./scope.ts";
import { FluxError } from "./thrown.ts";

export interface Sources {
  scopes: Scopes;
  clock: ReadClock;
  /** The randomness of code that runs while modules load. */
  loading: () => Random;
}

export function installDeterminism({ scopes, clock, loading }: Sources): void {
  const read = () => scopes.current()?.invocation.clock.read() ?? clock();
  const loadedAt = clock();
  const origin = () => scopes.current()?.invocation.clock.origin() ?? loadedAt;
  const random = () => scopes.current()?.invocation.random ?? loading();
  const millis = () => Math.floor(read() / 1000);
  installDate(millis);
  installPerformance(read, origin);
  installTemporal(millis);
  installIntl(millis);
  installFile(millis);
  installRandom(random);
  installWeakReferences();
}

function installDate(millis: () => number): void {
  const RealDate = Date;
  // A function, not a subclass: the prototype of a subclass would lead back to the real constructor.
  function FluxDate(...args: unknown[]): unknown {
    if (new.target === undefined) return new RealDate(millis()).toString();
    return Reflect.construct(RealDate, args.length === 0 ? [millis()] : args, new.target);
  }
  Object.defineProperties(FluxDate, {
    name: { value: "Date", configurable: true },
    length: { value: 7, configurable: true },
    prototype: { value: RealDate.prototype, writable: false },
    now: {
      value: function now() {
        return millis();
      },
      writable: true,
      configurable: true,
    },
    parse: { value: RealDate.parse, writable: true, configurable: true },
    UTC: { value: RealDate.UTC, writable: true, configurable: true },
  });
  define(RealDate.prototype, "constructor", FluxDate);
  define(globalThis, "Date", FluxDate);
}

function installPerformance(read: ReadClock, origin: ReadClock): void {
  const { prototype } = Performance;
  const { mark, measure } = prototype;
  const now = () => {
    const begun = origin();
    return (read() - begun) / 1000;
  };
  define(prototype, "now", function (this: Performance) {
    return now();
  });
  Object.defineProperty(prototype, "timeOrigin", { get: () => origin() / 1000, configurable: true });
  define(prototype, "toJSON", function (this: Performance) {
    return { timeOrigin: origin() / 1000 };
  });
  define(prototype, "mark", function (this: Performance, name: string, options?: PerformanceMarkOptions) {
    return mark.call(this, name, { startTime: now(), ...options });
  });
  define(prototype, "measure", function (this: Performance, name: string, from?: unknown, to?: string) {
    if (typeof from === "object" && from !== null) {
      const options = from as PerformanceMeasureOptions;
      const isOpen = options.end === undefined && options.duration === undefined;
      return measure.call(this, name, isOpen ? { ...options, end: now() } : options);
    }
    return measure.call(this, name, { start: (from as string | undefined) ?? 0, end: to ?? now() });
  });
}

/** What only modules of Node have; they are loaded apart from everything else. */
export function installNode(process: object, { scopes, clock, loading }: Sources): void {
  const crypto = (process as NodeProcess).getBuiltinModule("crypto");
  crypto.randomInt = (...args: unknown[]) => {
    const done = typeof args.at(-1) === "function" ? args.pop() as (error: null, value: number) => void : undefined;
    const [min, max] = (args.length === 1 ? [0, args[0]] : args) as [number, number];
    if (!Number.isSafeInteger(min) || !Number.isSafeInteger(max) || max <= min) {
      throw new RangeError(`randomInt: whole numbers are expected, the second larger, not ${min} and ${max}`);
    }
    const random = scopes.current()?.invocation.random ?? loading();
    const value = min + Math.floor(random.double() * (max - min));
    if (done === undefined) return value;
    queueMicrotask(() => done(null, value));
  };
  installProcessClock(process, scopes, clock);
}

interface NodeProcess {
  getBuiltinModule(name: string): Record<string, unknown>;
}

function installProcessClock(process: object, scopes: Scopes, clock: ReadClock): void {
  const begun = clock();
  const now = () => {
    const notes = scopes.current()?.invocation.clock;
    if (notes === undefined) return (clock() - begun) / 1000;
    const origin = notes.origin();
    return (notes.read() - origin) / 1000;
  };
  const hrtime = (last?: [number, number]): [number, number] => {
    const nanos = Math.round(now() * 1e6);
    let [seconds, rest] = [Math.floor(nanos / 1e9), nanos % 1e9];
    if (last !== undefined) {
      seconds -= last[0];
      rest -= last[1];
      if (rest < 0) {
        seconds--;
        rest += 1e9;
      }
    }
    return [seconds, rest];
  };
  define(process, "hrtime", Object.assign(hrtime, { bigint: () => BigInt(Math.round(now() * 1e6)) }));
  define(process, "uptime", () => now() / 1000);
}

function installTemporal(millis: () => number): void {
  const { Temporal } = globalThis as unknown as { Temporal: Record<string, never> | undefined };
  if (Temporal === undefined) return;
  // deno-lint-ignore no-explicit-any
  const { Now, Instant } = Temporal as any;
  const instant = () => Instant.fromEpochMilliseconds(millis());
  const zoned = (zone = "UTC") => instant().toZonedDateTimeISO(zone);
  define(Now, "instant", instant);
  define(Now, "timeZoneId", () => "UTC");
  define(Now, "zonedDateTimeISO", zoned);
  define(Now, "plainDateTimeISO", (zone?: string) => zoned(zone).toPlainDateTime());
  define(Now, "plainDateISO", (zone?: string) => zoned(zone).toPlainDate());
  define(Now, "plainTimeISO", (zone?: string) => zoned(zone).toPlainTime());
}

/** Formatting without an argument formats now. */
function installIntl(millis: () => number): void {
  const { prototype } = Intl.DateTimeFormat;
  const format = Object.getOwnPropertyDescriptor(prototype, "format")?.get as () => (date?: unknown) => string;
  const { formatToParts } = prototype;
  Object.defineProperty(prototype, "format", {
    configurable: true,
    get(this: Intl.DateTimeFormat) {
      const bound = format.call(this);
      return (date?: unknown) => bound(date === undefined ? millis() : date);
    },
  });
  define(prototype, "formatToParts", function (this: Intl.DateTimeFormat, date?: Date | number) {
    return formatToParts.call(this, date === undefined ? millis() : date);
  });
}

function installFile(millis: () => number): void {
  replaceOnUse("File", (load: () => typeof File) => {
    const RealFile = load();
    function FluxFile(parts: BlobPart[], name: string, options?: FilePropertyBag): File {
      const stamped = { ...options, lastModified: options?.lastModified ?? millis() };
      return Reflect.construct(RealFile, [parts, name, stamped], new.target ?? FluxFile);
    }
    Object.defineProperties(FluxFile, {
      name: { value: "File", configurable: true },
      prototype: { value: RealFile.prototype, writable: false },
    });
    define(RealFile.prototype, "constructor", FluxFile);
    return FluxFile;
  });
}

/** Bytes that `getRandomValues` gives at once (Web Cryptography, 10.1.1). */
const RANDOM_BYTES_MAX = 65_536;

function installRandom(random: () => Random): void {
  define(Math, "random", () => random().double());
  replaceOnUse("crypto", (load: () => Crypto) => {
    const crypto = load();
    replaceCrypto(Object.getPrototypeOf(crypto), Object.getPrototypeOf(crypto.subtle), random);
    return crypto;
  });
  for (const name of ["Crypto", "SubtleCrypto"]) replaceOnUse(name, (load) => (void globalThis.crypto, load()));
}

function replaceCrypto(crypto: Crypto, subtle: SubtleCrypto, random: () => Random): void {
  define(crypto, "randomUUID", () => uuid(random()));
  define(crypto, "getRandomValues", (into: ArrayBufferView) => {
    if (!ArrayBuffer.isView(into) || into instanceof DataView || /Float/.test(into.constructor.name)) {
      throw new DOMException("an array of whole numbers is expected", "TypeMismatchError");
    }
    if (into.byteLength > RANDOM_BYTES_MAX) {
      throw new DOMException(`${into.byteLength} bytes are more than ${RANDOM_BYTES_MAX}`, "QuotaExceededError");
    }
    random().fill(new Uint8Array(into.buffer, into.byteOffset, into.byteLength));
    return into;
  });
  const { importKey } = subtle;
  define(subtle, "generateKey", generateKey);

  /** Secret keys are drawn from the invocation's randomness; key pairs cannot be. */
  async function generateKey(
    this: SubtleCrypto,
    algorithm: string | (Algorithm & { length?: number; hash?: string | Algorithm }),
    extractable: boolean,
    usages: KeyUsage[],
  ): Promise<CryptoKey> {
    const { name, length, hash } = typeof algorithm === "string"
      ? { name: algorithm, length: undefined, hash: undefined }
      : algorithm;
    const isAes = /^AES-/i.test(name);
    if (!isAes && !/^HMAC$/i.test(name)) {
      throw new FluxError(
        "unsupported_api",
        `crypto.subtle.generateKey: a key pair for ${name} cannot be repeated in a replay; make it outside and keep it as a secret (ctx.secrets.get)`,
        undefined,
      );
    }
    const hashName = typeof hash === "string" ? hash : hash?.name;
    const bits = length ?? (isAes ? 256 : /384|512/.test(hashName ?? "") ? 1024 : 512);
    const bytes = new Uint8Array(bits / 8);
    random().fill(bytes);
    return await importKey.call(this, "raw", bytes, algorithm as never, extractable, usages) as unknown as CryptoKey;
  }
}

/**
 * When garbage is collected cannot be repeated. Both replacements are what the specification allows:
 * a reference that is never cleared, and a registry that never calls back.
 */
function installWeakReferences(): void {
  class HeldReference {
    readonly #target: object;
    constructor(target: object) {
      this.#target = target;
    }
    deref(): object {
      return this.#target;
    }
  }
  class SilentRegistry {
    register(): void {}
    unregister(): boolean {
      return false;
    }
  }
  Object.defineProperty(HeldReference, "name", { value: "WeakRef" });
  Object.defineProperty(SilentRegistry, "name", { value: "FinalizationRegistry" });
  define(globalThis, "WeakRef", HeldReference);
  define(globalThis, "FinalizationRegistry", SilentRegistry);
}
