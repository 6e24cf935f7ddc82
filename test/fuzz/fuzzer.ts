// Runs cases in a worker thread and watches it: a case that hangs, or that brings the thread down,
// is reported with its seed and number, and the others go on in a new thread. Seeded: a case is the
// same whichever run it is part of.

import { Worker } from 'node:worker_threads';
import type { Failure, FromWorker, Job } from './worker.ts';

const HANG_MS = 5000;
const HEAP_MIB = 150; // the reader may take 64; the rest is the corpus and the modules

export interface FuzzReport {
  cases: number;
  loads: number;
  /** How often each kind of refusal came, by its message without names and numbers. */
  refusals: Record<string, number>;
  failures: Failure[];
  /** One line for each case from number 0 on, of jobs with files. */
  results: string[];
  seconds: number;
}

export class Fuzzer {
  #worker: Worker | undefined;
  readonly #state = new Int32Array(new SharedArrayBuffer(8));
  readonly #hangMs: number;

  constructor({ hangMs = HANG_MS } = {}) {
    this.#hangMs = hangMs;
  }

  async #start(): Promise<Worker> {
    const worker = new Worker(new URL('./worker.mjs', import.meta.url), {
      workerData: { state: this.#state.buffer },
      resourceLimits: { maxOldGenerationSizeMb: HEAP_MIB, maxYoungGenerationSizeMb: 16 },
    });
    await new Promise<void>((resolve, reject) => {
      worker.once('message', () => resolve()).on('error', reject);
      worker.once('exit', (code) => reject(new Error(`the fuzzing thread ended with code ${code} before it began`)));
    });
    return worker;
  }

  /** Runs cases from `from` up to `to`. */
  async run(job: Job): Promise<FuzzReport> {
    const began = performance.now();
    const report: FuzzReport = {
      cases: job.to - job.from,
      loads: 0,
      refusals: {},
      failures: [],
      results: [],
      seconds: 0,
    };
    for (let from = job.from; from < job.to && report.failures.length < 50;) {
      this.#worker ??= await this.#start();
      const lost = await this.#part({ ...job, from }, report);
      if (!lost) break;
      this.#worker = undefined;
      report.failures.push(lost);
      report.results[lost.n] = `${lost.kind}: ${lost.text}`;
      // What became of those before the lost one was lost with the thread, so they are run again.
      if (lost.n > from) {
        const { loads, failures, refusals, results } = await this.run({ ...job, from, to: lost.n });
        addTo(report, { loads, failures, refusals, results: [...results.entries()] });
      }
      from = lost.n + 1;
    }
    report.seconds = (performance.now() - began) / 1000;
    return report;
  }

  /** Runs until the end, or until a case that did not end: returns that one. */
  #part(job: Job, report: FuzzReport): Promise<Failure | undefined> {
    const worker = this.#worker!;
    const state = this.#state;
    Atomics.store(state, 0, job.from);
    return new Promise((resolve) => {
      const lost = (kind: Failure['kind'], text: string): Failure => ({
        format: job.format,
        seed: job.seed,
        n: Atomics.load(state, 0),
        kind,
        text,
        how: '',
      });
      let [seen, since] = [Atomics.load(state, 1), performance.now()];
      let ended = false;
      const end = (failure?: Failure) => {
        if (ended) return;
        ended = true;
        clearInterval(timer);
        worker.off('message', onMessage).off('error', onError).off('exit', onExit);
        if (failure) void worker.terminate();
        resolve(failure);
      };
      const timer = setInterval(() => {
        const now = Atomics.load(state, 1);
        if (now !== seen) [seen, since] = [now, performance.now()];
        else if (performance.now() - since > this.#hangMs) end(lost('hang', `no end after ${this.#hangMs / 1000} s`));
      }, 100);
      const onMessage = ({ done }: FromWorker) => {
        addTo(report, done);
        end();
      };
      const onError = (error: NodeJS.ErrnoException) =>
        end(
          lost(error.code === 'ERR_WORKER_OUT_OF_MEMORY' ? 'memory' : 'crash', `${error.code ?? ''} ${error.message}`),
        );
      const onExit = (code: number) => end(lost('crash', `the thread ended with code ${code}`));
      worker.on('message', onMessage).on('error', onError).on('exit', onExit);
      worker.postMessage(job);
    });
  }

  async close(): Promise<void> {
    await this.#worker?.terminate();
    this.#worker = undefined;
  }
}

function addTo(report: FuzzReport, { loads, refusals, failures, results }: FromWorker['done']): void {
  report.loads += loads;
  report.failures.push(...failures);
  for (const [n, text] of results) if (text !== undefined) report.results[n] = text;
  for (const [kind, count] of Object.entries(refusals)) report.refusals[kind] = (report.refusals[kind] ?? 0) + count;
}

/** A failure with what to type to see it alone. */
export function described({ format, seed, n, kind, text, how }: Failure): string {
  return `${kind}: ${text}\n    ${how}\n    FUZZ_CASE=${format}:${seed}:${n} npx tsx test/fuzz/fuzz.test.ts`;
}
