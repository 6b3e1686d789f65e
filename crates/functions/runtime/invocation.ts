// One call of a function while it runs: its numbers, its clock and randomness, what it waits for,
// and its one end.
import { type ClockNotes, createClockNotes, type ReadClock } from "./clock.ts";
import type { Failure, InvokeHead, RunHead } from "./messages.ts";
import { createRandom, type Random } from "./random.ts";

/** Lines that one invocation may log. */
export const LOG_LINES_MAX = 10_000;
/** Bytes, about, that one invocation may log. */
export const LOG_BYTES_MAX = 4 * 1024 * 1024;

export class Invocation {
  readonly id: number;
  readonly head: InvokeHead;
  readonly clock: ClockNotes;
  /** Host calls without an answer, by their number on the wire. */
  readonly waiting = new Map<number, Waiting>();
  /** What ends each of its timers. */
  readonly timers = new Set<() => void>();
  calls = 0;
  spans = 0;
  transactions = 0;
  ended = false;
  readonly #begun: number;
  readonly #real: ReadClock;
  readonly #onFailure: (invocation: Invocation, failure: Failure) => void;
  #random: Random | undefined;
  #logLines = 0;
  #logBytes = 0;
  #logsDropped = 0;

  constructor(
    id: number,
    head: InvokeHead,
    real: ReadClock,
    onFailure: (invocation: Invocation, failure: Failure) => void,
  ) {
    this.id = id;
    this.head = head;
    this.clock = createClockNotes(real, head.clock);
    this.#real = real;
    this.#begun = real();
    this.#onFailure = onFailure;
  }

  get random(): Random {
    return this.#random ??= createRandom(this.head.seed);
  }

  /** Microseconds since it began, by the real clock. */
  atUs(): number {
    return Math.max(0, this.#real() - this.#begun);
  }

  /** Ends it, unless it has ended. */
  fail(failure: Failure): void {
    if (!this.ended) this.#onFailure(this, failure);
  }

  /** Whether one more line of this length may be logged. */
  mayLog(bytes: number): boolean {
    if (this.#logLines >= LOG_LINES_MAX || this.#logBytes + bytes > LOG_BYTES_MAX) {
      this.#logsDropped++;
      return false;
    }
    this.#logLines++;
    this.#logBytes += bytes;
    return true;
  }

  /** What it waits for, for people. */
  pending(): string[] {
    const calls = Array.from(this.waiting.values(), ({ what, since }) => {
      return `${what} for ${Math.round((this.#real() - since) / 1000)} ms`;
    });
    if (this.timers.size > 0) calls.push(`${this.timers.size} ${this.timers.size === 1 ? "timer" : "timers"}`);
    return calls;
  }

  run(cpuUs: number): RunHead {
    const run: RunHead = { cpu_us: cpuUs };
    if (this.clock.deltas().length > 0) run.clock = this.clock.deltas();
    if (this.clock.dropped() > 0) run.clock_dropped = this.clock.dropped();
    if (this.#logsDropped > 0) run.logs_dropped = this.#logsDropped;
    return run;
  }
}

export interface Waiting {
  what: string;
  /** Microseconds since 1970. */
  since: number;
  /** Gives up: tells the host where that matters, and rejects. */
  abandon(reason: unknown): void;
}
