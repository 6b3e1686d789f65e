// Timers belong to the invocation that made them: they end with it, and what they throw is its error.
import { define, later, replaceOnUse } from "./globals.ts";
import type { Scopes } from "./scope.ts";
import { FluxError } from "./thrown.ts";

/** Timers of one invocation at the same time. */
export const TIMERS_MAX = 10_000;

type Callback = (...args: unknown[]) => unknown;
type Timer = ReturnType<typeof setTimeout>;

export function installTimers(scopes: Scopes, onThrown: (thrown: unknown) => void): void {
  const real = {
    setTimeout: later<typeof setTimeout>("setTimeout"),
    setInterval: later<typeof setInterval>("setInterval"),
    setImmediate: later<typeof setImmediate>("setImmediate"),
    clearTimeout: later<typeof clearTimeout>("clearTimeout"),
    clearInterval: later<typeof clearInterval>("clearInterval"),
    clearImmediate: later<(timer: unknown) => void>("clearImmediate"),
  };
  const ends = new WeakMap<object, () => void>();

  function guarded(callback: unknown, name: string): Callback {
    if (typeof callback !== "function") throw new TypeError(`${name} expects a function, not ${typeof callback}`);
    return (...args) => {
      try {
        const result: unknown = callback(...args);
        if (result instanceof Promise) result.catch(onThrown);
      } catch (thrown) {
        onThrown(thrown);
      }
    };
  }

  function register(name: string, start: (ended: () => void) => object, clear: (timer: object) => void): object {
    const invocation = scopes.current()?.invocation;
    if (invocation === undefined) return start(() => {});
    if (invocation.ended) {
      throw new FluxError("invocation_ended", `${name}: the invocation it belongs to has ended`, undefined);
    }
    if (invocation.timers.size >= TIMERS_MAX) {
      throw new FluxError(
        "execution_limit",
        `${name}: ${TIMERS_MAX} timers of this invocation are running, no more may (TIMERS_MAX)`,
        undefined,
      );
    }
    const timer = start(() => invocation.timers.delete(end));
    const end = () => {
      invocation.timers.delete(end);
      clear(timer);
    };
    invocation.timers.add(end);
    ends.set(timer, end);
    return timer;
  }

  function clear(timer: unknown, fallback: (timer: Timer) => void): void {
    const end = typeof timer === "object" && timer !== null ? ends.get(timer) : undefined;
    if (end === undefined) fallback(timer as Timer);
    else end();
  }

  const replacements = {
    setTimeout: (callback: unknown, ms?: number, ...args: unknown[]) => {
      const call = guarded(callback, "setTimeout");
      const start = (ended: () => void) =>
        real.setTimeout()(() => {
          ended();
          call(...args);
        }, ms) as unknown as object;
      return register("setTimeout", start, (timer) => real.clearTimeout()(timer as unknown as Timer));
    },
    setInterval: (callback: unknown, ms?: number, ...args: unknown[]) => {
      const call = guarded(callback, "setInterval");
      const start = () => real.setInterval()(() => call(...args), ms) as unknown as object;
      return register("setInterval", start, (timer) => real.clearInterval()(timer as unknown as Timer));
    },
    setImmediate: (callback: unknown, ...args: unknown[]) => {
      const call = guarded(callback, "setImmediate");
      const start = (ended: () => void) =>
        real.setImmediate()(() => {
          ended();
          call(...args);
        }) as unknown as object;
      return register("setImmediate", start, (timer) => real.clearImmediate()(timer));
    },
    clearTimeout: (timer: unknown) => clear(timer, (other) => real.clearTimeout()(other)),
    clearInterval: (timer: unknown) => clear(timer, (other) => real.clearInterval()(other)),
    clearImmediate: (timer: unknown) => clear(timer, (other) => real.clearImmediate()(other)),
  };
  for (const [name, replacement] of Object.entries(replacements)) define(globalThis, name, replacement);
  replaceOnUse("AbortSignal", (load: () => typeof AbortSignal) => {
    const signal = load();
    define(signal, "timeout", (ms: number): AbortSignal => {
      const controller = new AbortController();
      replacements.setTimeout(() => controller.abort(new DOMException("Signal timed out.", "TimeoutError")), ms);
      return controller.signal;
    });
    return signal;
  });
}
