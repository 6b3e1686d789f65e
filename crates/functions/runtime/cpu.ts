// Processor time of calls that share a process: at each moment it is divided by the calls in flight.

export interface CpuMeter {
  /** Begins a call; gives what `leave` needs. */
  enter(): number;
  /** Ends a call; gives its microseconds. */
  leave(entered: number): number;
}

export function createCpuMeter(usage: () => { user: number; system: number }): CpuMeter {
  let share = 0;
  let last = 0;
  let calls = 0;

  function advance(): void {
    const { user, system } = usage();
    const total = user + system;
    if (calls > 0) share += (total - last) / calls;
    last = total;
  }

  return {
    enter() {
      advance();
      calls++;
      return share;
    },
    leave(entered) {
      advance();
      calls--;
      return Math.round(share - entered);
    },
  };
}
