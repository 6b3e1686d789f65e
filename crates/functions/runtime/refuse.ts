// What functions cannot use, each with what to use instead. The permissions of the process refuse
// most of it too; these texts are what makes the refusal useful.
import { define, replaceOnUse } from "./globals.ts";
import type { Scopes } from "./scope.ts";
import { FluxError } from "./thrown.ts";

const USE_FETCH = "use `fetch`";
const USE_DB = "use `ctx.db`";
const ONE_PROCESS = "call another function with `ctx.functions` or `ctx.queue.send`";

/** Constructors and functions of the platform. */
const GLOBALS: Record<string, string> = {
  WebSocket: `sockets cannot be opened; ${USE_FETCH}`,
  WebSocketStream: `sockets cannot be opened; ${USE_FETCH}`,
  EventSource: "read the body of a `fetch` as a stream",
  Worker: `threads cannot be started; ${ONE_PROCESS}`,
  BroadcastChannel: `there are no other contexts; ${ONE_PROCESS}`,
  alert: "there is no terminal; use `ctx.log`",
  confirm: "there is no terminal; use a flow with `human.review`",
  prompt: "there is no terminal; use a flow with `human.review`",
  close: "a function ends by returning",
};

/** Objects of the platform that keep data in the process. */
const STORES: Record<string, string> = {
  caches: USE_DB,
  localStorage: USE_DB,
  sessionStorage: USE_DB,
};

/** Members of `Deno` by what they are about. The first match counts. */
const DENO: [RegExp, string][] = [
  [/^(connect|connectTls|startTls|resolveDns|createHttpClient|HttpClient)$/, `sockets cannot be opened; ${USE_FETCH}`],
  [
    /^(listen|listenTls|listenDatagram|serve|serveHttp|upgradeWebSocket)$/,
    "every function has a route of its own already",
  ],
  [/^(Command|ChildProcess|Process|run|spawn|spawnAndWait|spawnAndWaitSync|kill)$/, "programs cannot be started"],
  [/^(dlopen|Unsafe\w+)$/, "native libraries cannot be loaded; use WebAssembly"],
  [/^(openKv|cron)$/, "use `ctx.db`, or a flow with `trigger.schedule`"],
  [/^(addSignalListener|removeSignalListener)$/, "signals are not delivered to functions"],
  [/^(permissions|Permissions|PermissionStatus)$/, "permissions cannot be changed"],
  [/^(test|bench|lint|jupyter|internal|telemetry)$/, "it is not available in functions"],
  [
    /^(pid|ppid|uid|gid|hostname|os\w+|loadavg|system\w+|network\w+|console\w+|mainModule|memoryUsage|cpuUsage)$/,
    "functions cannot look at the machine they run on",
  ],
  [/^(stdin|stdout|stderr|isatty)$/, "there is no terminal; use `ctx.log`"],
];
const DENO_REST = `files cannot be reached; ${USE_DB}, or import what belongs to the function`;

/** Members of `process` that act on the process or the machine. */
const PROCESS = [
  "abort",
  "kill",
  "_kill",
  "chdir",
  "dlopen",
  "reallyExit",
  "setuid",
  "setgid",
  "_debugProcess",
  "umask",
];

export interface Refusals {
  scopes: Scopes;
  /** Ends the running invocation because it called exit. */
  onExit(code: number): void;
  /** Takes what is written to standard output or error. */
  onPrint(text: string): void;
  /** Is told when `process` is loaded. */
  onProcess(process: object): void;
}

/** An error that says what to use instead. */
function unsupported(name: string, advice: string): FluxError {
  return new FluxError("unsupported_api", `${name} is not available in functions: ${advice}`, undefined);
}

function refusal(name: string, advice: string): () => never {
  return function refused(): never {
    throw unsupported(name, advice);
  };
}

export function installRefusals(parts: Refusals): void {
  for (const [name, advice] of Object.entries(GLOBALS)) {
    if (name in globalThis) define(globalThis, name, refusal(name, advice));
  }
  for (const [name, advice] of Object.entries(STORES)) {
    const get = refusal(name, advice);
    if (name in globalThis) Object.defineProperty(globalThis, name, { get, configurable: true });
  }
  const blocking = refusal("Atomics.wait", "it would stop every call of the process; use a promise");
  define(Atomics, "wait", blocking);
  define(Atomics, "waitAsync", refusal("Atomics.waitAsync", "use `setTimeout` or a promise"));
  replaceOnUse("navigator", (load: () => Navigator) => {
    const navigator = load();
    Object.defineProperties(Object.getPrototypeOf(navigator), {
      gpu: { get: () => undefined, configurable: true },
      hardwareConcurrency: { get: () => 1, configurable: true },
      locks: { get: refusal("navigator.locks", USE_DB), configurable: true },
    });
    return navigator;
  });
  const exit = (code?: unknown): never => {
    parts.onExit(Number(code ?? 0) || 0);
    throw unsupported("exit", "a function ends by returning or throwing");
  };
  const real = Deno;
  replaceOnUse("process", (load: () => Process) => {
    // Modules of Node look at the real `Deno` while they load.
    const replaced = globalThis.Deno;
    define(globalThis, "Deno", real);
    try {
      const loaded = load();
      replaceProcess(loaded, parts, exit);
      refuseOtherRealms(loaded);
      parts.onProcess(loaded);
      return loaded;
    } finally {
      define(globalThis, "Deno", replaced);
    }
  });
  installDeno(parts, exit);
}

type Process = Record<string, unknown> & {
  getBuiltinModule(name: string): Record<string, unknown> & { Script?: { prototype: object } };
};

function replaceProcess(process: Process, { scopes, onPrint }: Refusals, exit: (code?: unknown) => never): void {
  for (const name of PROCESS) {
    define(process, name, refusal(`process.${name}`, "functions cannot act on their process"));
  }
  define(process, "exit", exit);
  define(process, "cwd", () => "/");
  const output = {
    write: (text: unknown) => (onPrint(String(text)), true),
    isTTY: false,
    on() {},
    once() {},
    end() {},
  };
  const constant = { argv: ["deno", "function"], execArgv: [], stdout: output, stderr: output, stdin: undefined };
  for (const [name, value] of Object.entries(constant)) define(process, name, value);
  // Accessors that cannot be replaced, but be told what to say.
  Object.assign(process, { argv0: "deno", execPath: "deno" });
  Object.defineProperty(process, "env", {
    configurable: true,
    get: () => ({ ...scopes.current()?.invocation.head.env }),
  });
}

function installDeno({ scopes }: Refusals, exit: (code?: unknown) => never): void {
  const { version, build, errors, inspect } = Deno;
  const env = () => scopes.current()?.invocation.head.env ?? {};
  const known = new Set(Object.keys(Deno));
  const kept: Record<string, unknown> = {
    version,
    build,
    errors,
    inspect,
    args: [],
    noColor: true,
    cwd: () => "/",
    // Modules of Node ask for it before they do what is refused.
    execPath: () => "deno",
    exit,
    env: Object.freeze({
      get: (name: string) => env()[name],
      has: (name: string) => Object.hasOwn(env(), name),
      toObject: () => ({ ...env() }),
      set: refusal("Deno.env.set", "the environment belongs to the project's configuration"),
      delete: refusal("Deno.env.delete", "the environment belongs to the project's configuration"),
    }),
  };
  const replacement = new Proxy(Object.freeze(kept), {
    get(members, name) {
      if (typeof name !== "string" || Object.hasOwn(members, name)) return Reflect.get(members, name);
      if (!known.has(name)) return undefined;
      const advice = DENO.find(([pattern]) => pattern.test(name))?.[1] ?? DENO_REST;
      return refusal(`Deno.${name}`, advice);
    },
    has: (members, name) => Object.hasOwn(members, name),
  });
  define(globalThis, "Deno", replacement);
}

/** `node:vm` and `node:worker_threads` make realms with a clock and randomness of their own. */
function refuseOtherRealms(process: Process): void {
  const vm = process.getBuiltinModule("vm");
  const advice = "code in a realm of its own cannot be replayed; use `new Function`, or a module";
  for (const name of Object.getOwnPropertyNames(vm.Script?.prototype ?? {})) {
    if (name.startsWith("runIn")) define(vm.Script!.prototype, name, refusal(`node:vm Script.${name}`, advice));
  }
  for (const name of Object.keys(vm)) {
    if (typeof vm[name] === "function") vm[name] = refusal(`node:vm ${name}`, advice);
  }
  const threads = process.getBuiltinModule("worker_threads");
  threads.Worker = refusal("node:worker_threads Worker", `threads cannot be started; ${ONE_PROCESS}`);
}
