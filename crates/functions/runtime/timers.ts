// Timers belong to the invocation that made them: they end with it, and what they throw is its error.
import type { Scopes } from "./scope.ts";
import { FluxError } from "./thrown.ts";

/** Timers of one invocation at the same time. */
export const TIMERS_MAX = 10_000;

type Callback = (...args: unknown[]) => unknown;
type Timer = ReturnType<typeof setTimeout>;

export function installTimers(scopes: Scopes, onThrown: (thrown: unknown) => void): void {
  const real = { setTimeout, setInterval, setImmediate, clearTimeout, clearInterval, clearImmediate };
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
    if (invocation.ended) throw new FluxError("invocation_ended", `${name}: the invocation it belongs to has ended`, undefined);
    if (invocation.timers.size >= TIMERS_MAX) {
      throw new FluxError("execution_limit", `${name}: ${TIMERS_MAX} timers of this invocation are running, no more may (TIMERS_MAX)`, undefined);
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

  Object.assign(globalThis, {
    setTimeout: (callback: unknown, ms?: number, ...args: unknown[]) => {
      const call = guarded(callback, "setTimeout");
      return register("setTimeout", (ended) => {
        return real.setTimeout(() => {
          ended();
          call(...args);
        }, ms) as unknown as object;
      }, (timer) => real.clearTimeout(timer as unknown as Timer));
    },
    setInterval: (callback: unknown, ms?: number, ...args: unknown[]) => {
      const call = guarded(callback, "setInterval");
      const start = () => real.setInterval(() => call(...args), ms) as unknown as object;
      return register("setInterval", start, (timer) => real.clearInterval(timer as unknown as Timer));
    },
    setImmediate: (callback: unknown, ...args: unknown[]) => {
      const call = guarded(callback, "setImmediate");
      return register("setImmediate", (ended) => {
        return real.setImmediate(() => {
          ended();
          call(...args);
        }) as unknown as object;
      }, (timer) => real.clearImmediate(timer as never));
    },
    clearTimeout: (timer: unknown) => clear(timer, real.clearTimeout),
    clearInterval: (timer: unknown) => clear(timer, real.clearInterval),
    clearImmediate: (timer: unknown) => clear(timer, real.clearImmediate as unknown as (timer: Timer) => void),
  });

  AbortSignal.timeout = function timeout(ms: number): AbortSignal {
    const controller = new AbortController();
    globalThis.setTimeout(() => controller.abort(new DOMException("Signal timed out.", "TimeoutError")), ms);
    return controller.signal;
  };
}
