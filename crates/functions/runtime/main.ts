// The worker: connects, closes the door behind itself, loads one bundle and serves calls of it.
//
// Code of the bundle may import the modules of this folder, as it may call everything that is
// reachable in its process. So none of them keeps anything: real clocks, the connection and the
// real `Deno` live in the closures that are made here, before the first line of the bundle runs,
// and this module exports nothing.
import { createHostCalls } from "./calls.ts";
import { createRealClock } from "./clock.ts";
import { createCpuMeter } from "./cpu.ts";
import { createCtx } from "./ctx.ts";
import { installDeterminism, installNode } from "./determinism.ts";
import { createFetch } from "./fetch.ts";
import { define } from "./globals.ts";
import { type Handler, load } from "./load.ts";
import { createConsole, createLogs } from "./logs.ts";
import type { HelloHead, LoadHead } from "./messages.ts";
import { createRandom, type Random } from "./random.ts";
import { installRefusals } from "./refuse.ts";
import { createScopes } from "./scope.ts";
import { createServer } from "./serve.ts";
import { createStacks } from "./stacks.ts";
import { createStreams } from "./streams.ts";
import { describe, FluxError } from "./thrown.ts";
import { installTimers } from "./timers.ts";
import { createOutbox, type Frame, KIND, PROTOCOL, readFrames } from "./wire.ts";

const socket = Deno.args[0];
const pipe = await Deno.connect({ transport: "unix", path: socket });
for (const door of [{ name: "net" }, { name: "write" }, { name: "read", path: socket }] as const) {
  await Deno.permissions.revoke(door);
}

const { exit, inspect, memoryUsage, stderr, stdout } = Deno;
// Not in the types of this Deno.
const { cpuUsage } = Deno as unknown as { cpuUsage(): { user: number; system: number } };
const decoder = new TextDecoder();
const clock = createRealClock();
const scopes = createScopes();
const stacks = createStacks();
const outbox = createOutbox(pipe, fault);
const streams = createStreams(outbox);
const calls = createHostCalls({ outbox, scopes, stacks, streams, clock });
const logs = createLogs(outbox, stacks);
const show = (value: unknown) => inspect(value, { colors: false, depth: 4 });

const server = createServer({
  outbox,
  streams,
  stacks,
  scopes,
  clock,
  cpu: createCpuMeter(cpuUsage),
  ctx: (invocation) => createCtx(invocation, { calls, logs, scopes, inspect: show }),
  onBegin: noteBegun,
});

let loading: Random = createRandom("00".repeat(32));
const sources = { scopes, clock, loading: () => loading };
installDeterminism(sources);
installTimers(scopes, onStray);
define(globalThis, "fetch", createFetch({ calls, streams, scopes, outbox }));
define(globalThis, "console", createConsole(logs, scopes, show));
installRefusals({
  scopes,
  onExit: (code) => scopes.current()?.invocation.fail({ kind: "exit", code }),
  onProcess: (process) => installNode(process, sources),
  onPrint: (text) => logs.log(scopes.current()?.invocation, "info", { message: text.trimEnd() }),
});
addEventListener("unhandledrejection", (event) => {
  event.preventDefault();
  onStray(event.reason);
});
addEventListener("error", (event) => {
  event.preventDefault();
  onStray(event.error);
});

await readFrames(pipe, take).catch(fault);
// The supervisor is gone.
exit(0);

function take({ kind, id, head, body }: Frame): void {
  switch (kind) {
    case KIND.invoke:
      return server.invoke(id, head, body);
    case KIND.answer:
      return calls.onAnswer({ kind, id, head, body });
    case KIND.data:
      return streams.onData(id, body);
    case KIND.end:
      return streams.onEnd(id, head.length === 0 ? undefined : read<{ error?: string }>(head).error);
    case KIND.credit:
      return streams.onCredit(id, read<{ bytes: number }>(head).bytes);
    case KIND.abort:
      // Odd numbers are invocations, even ones are host calls whose request body is not wanted.
      return id % 2 === 1
        ? server.abort(id)
        : streams.stop(id, new TypeError("the answer came before the end of the body"));
    case KIND.ping:
      return pong(id);
    case KIND.hello:
      return hello(read<HelloHead>(head));
    case KIND.load:
      return void loadBundle(read<LoadHead>(head)).catch(fault);
    case KIND.shutdown:
      return void outbox.flushed().then(() => exit(0));
  }
}

/** A fault of the worker itself: its supervisor reads the last words. */
function fault(error: unknown): never {
  stderr.writeSync(
    new TextEncoder().encode(error instanceof Error ? `${error.message}\n${error.stack}` : String(error)),
  );
  return exit(1);
}

function hello({ protocol }: HelloHead): void {
  outbox.send(KIND.ready, 0, JSON.stringify({ protocol: PROTOCOL, matches: protocol === PROTOCOL }));
}

async function loadBundle(head: LoadHead): Promise<void> {
  stacks.install(head.root);
  // Modules of Node can be imported without the globals that lead to them.
  if (head.node) void globalThis.process;
  loading = createRandom(head.seed);
  const { handlers, report } = await load(head, stacks);
  server.serve(handlers as Map<string, Handler>);
  outbox.send(KIND.loaded, 0, JSON.stringify({ functions: report }));
}

function pong(id: number): void {
  const { heapUsed, heapTotal, external } = memoryUsage();
  outbox.send(KIND.pong, id, JSON.stringify({ heap_used: heapUsed, heap_total: heapTotal, external }));
}

/**
 * Notes which call is about to begin where the supervisor finds it even if the call never gives up
 * the processor: in the file that is standard output.
 */
function noteBegun(id: number): void {
  stdout.writeSync(Uint8Array.of(id, id >>> 8, id >>> 16, id >>> 24));
}

/** An error that nobody caught: of a promise without a handler, or of a timer. */
function onStray(thrown: unknown): void {
  const invocation = scopes.current()?.invocation;
  // Whoever still waits for something when its invocation ends is told so, and nobody listens.
  if (invocation?.ended && thrown instanceof FluxError && thrown.code === "invocation_ended") return;
  const error = describe(thrown, stacks);
  if (invocation !== undefined && !invocation.ended) invocation.fail({ kind: "thrown", thrown: error });
  else logs.log(undefined, "error", { message: `${error.name}: ${error.message}`, fields: { frames: error.frames } });
}

function read<T>(head: Uint8Array): T {
  return JSON.parse(decoder.decode(head));
}
