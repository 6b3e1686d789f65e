// The clock as functions see it: every read is noted, so that a run can be repeated, or served from
// the notes of an earlier run.

/** Reads that are noted in one invocation. */
export const CLOCK_READS_MAX = 10_000;

/** Microseconds since 1970. */
export type ReadClock = () => number;

/** The clock of one invocation. */
export interface ClockNotes {
  /** Microseconds since 1970. */
  read(): number;
  /** When `performance` begins to count, in microseconds since 1970. */
  origin(): number;
  /** The first read, then differences. */
  deltas(): number[];
  dropped(): number;
}

/** The real clock. Called once before the globals are replaced. */
export function createRealClock(): ReadClock {
  const now = performance.now.bind(performance);
  const origin = performance.timeOrigin;
  return () => Math.round((origin + now()) * 1000);
}

export function createClockNotes(real: ReadClock, replayed: number[] | undefined): ClockNotes {
  const deltas: number[] = [];
  let last = 0;
  let dropped = 0;
  let begun: number | undefined;

  function read(): number {
    const delta = replayed?.[deltas.length];
    const time = delta === undefined ? real() : last + delta;
    if (deltas.length === CLOCK_READS_MAX) {
      dropped++;
      return time;
    }
    deltas.push(time - last);
    last = time;
    return time;
  }

  return {
    read,
    origin: () => begun ??= read(),
    deltas: () => deltas,
    dropped: () => dropped,
  };
}
