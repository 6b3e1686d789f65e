// Which invocation the running code belongs to. Follows promises, timers and events through
// AsyncLocalStorage.
import { AsyncLocalStorage } from "node:async_hooks";

import type { Invocation } from "./invocation.ts";

export interface Scope {
  invocation: Invocation;
  /** The innermost open span of `ctx.trace.span`. */
  span: number | undefined;
}

export interface Scopes {
  current(): Scope | undefined;
  run<T>(scope: Scope, work: () => T): T;
}

export function createScopes(): Scopes {
  const storage = new AsyncLocalStorage<Scope>();
  return {
    current: () => storage.getStore(),
    run: (scope, work) => storage.run(scope, work),
  };
}
