// How much work one submit may hold. Systems take a GPU that works on one submit for too long for
// hung and reset it: Windows after 2 s (TdrDelay), phones sooner. So the commands of WebGPU
// (backend.ts) end a submit where, by what was measured before, it would take longer than
// MOST_MS, and go on in another one.
//
// What a dispatch takes is known of programs by their name and length, since a model step is
// recorded anew for each sentence and costs what it cost. A program not met before starts with few
// dispatches a submit, and at most doubles them each time that some were measured: warm-ups have
// nothing to do and say little of what the first sentence will take. So the first runs of a program
// are many short submits (976 dispatches at once: 122), and on a GPU that is fast enough a run is
// one submit from the eighth on.

/** Milliseconds that a submit may take. */
const MOST_MS = 100;
/** Dispatches of the first submits of an unknown program: on the slowest GPUs some 10 ms each. */
const FIRST = 8;
/** Submits of which the host hears within so many milliseconds were done at times it cannot tell. */
const TOGETHER_MS = 0.5;

/** What is known of a program. */
interface Known {
  /** Milliseconds of a dispatch. */
  ms: number;
  /** Dispatches of the longest submit that was measured. */
  most: number;
}

const UNKNOWN: Known = { ms: MOST_MS / FIRST, most: FIRST / 2 };

export class SubmitLengths {
  readonly #known = new Map<string, Known>();
  readonly #now: () => number;
  /** When the host last heard that a submit was done. */
  #heard = -Infinity;
  /** What it has heard of together: when the first of it began, and its dispatches. */
  #began = 0;
  #together = 0;

  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** Milliseconds that `dispatches` of a program are expected to take. */
  expected(program: string, dispatches: number): number {
    return (this.#known.get(program) ?? UNKNOWN).ms * dispatches;
  }

  /**
   * How many more dispatches of `program` fit into a submit that holds `held` dispatches, which are
   * expected to take `ms`; an empty one holds one at least.
   */
  room(program: string, held: number, ms: number): number {
    const { ms: each, most } = this.#known.get(program) ?? UNKNOWN;
    const inTime = each > 0 ? Math.floor((MOST_MS - ms) / each) : Infinity;
    return Math.max(held === 0 ? 1 : 0, Math.min(2 * most - held, inTime));
  }

  /**
   * A submit with so many dispatches of each of these programs was handed over just now; `done`
   * resolves when the GPU has done it.
   */
  async submitted(dispatches: ReadonlyMap<string, number>, done: Promise<unknown>): Promise<void> {
    const handedOver = this.#now();
    await done;
    const end = this.#now();
    const held = [...dispatches.values()].reduce((sum, n) => sum + n, 0);
    if (end - this.#heard > TOGETHER_MS) {
      // It began when it was handed over or, behind others, when the one before it was done.
      this.#began = Math.max(handedOver, this.#heard);
      this.#together = 0;
    }
    this.#heard = end;
    this.#together += held;
    const ms = (end - this.#began) / this.#together;
    for (const program of dispatches.keys()) {
      const known = this.#known.get(program);
      // A longer time is believed at once, a shorter one by and by.
      this.#known.set(program, {
        ms: known && ms < known.ms ? (ms + known.ms) / 2 : ms,
        most: Math.max(known?.most ?? 0, held),
      });
    }
  }
}
