// The thread that runs cases, one after the other: makes a mutant, gives it to its reader, and
// judges what became of it.
// The parent (fuzzer.ts) watches the shared numbers and ends this thread where a case does not end
// by itself.

import { parentPort, workerData } from 'node:worker_threads';
import { installGuard, type Observed } from './guard.ts';
const guard = installGuard(); // before anything that is under test is loaded
const { corpusOf } = await import('./corpus.ts');
const { mutate, systematic, systematicCount } = await import('./mutate.ts');
const { targets } = await import('./targets.ts');
const { uniform } = await import('../random.ts');
const errors: Record<string, unknown> = await import('../../runtime/base/errors.ts');

export const CASE_MS = 1000;
export const CASE_BYTES = 64 * 2 ** 20;

const LEAP = 1_000_003; // a prime, so that each comes once

export interface Job {
  format: string;
  seed: number;
  from: number;
  to: number;
  /** Takes these bytes instead of mutants, by their number. */
  files?: readonly { name: string; bytes: Uint8Array }[] | undefined;
  verbose?: boolean;
}

export interface Failure {
  format: string;
  seed: number;
  n: number;
  kind: 'untyped error' | 'message' | 'wrong load' | 'slow' | 'memory' | 'forbidden' | 'hang' | 'crash';
  text: string;
  how: string;
}

export interface FromWorker {
  done: { loads: number; refusals: Record<string, number>; failures: Failure[]; results: [n: number, text: string][] };
}

/** Shared with the parent: the case that runs, and a number that grows with each try. */
const state = new Int32Array((workerData as { state: SharedArrayBuffer }).state);
const typed = Object.values(errors).filter(
  (value): value is new () => Error => typeof value === 'function' && value.prototype instanceof Error,
);

function hash(text: string): number {
  let sum = 2166136261;
  for (let i = 0; i < text.length; i++) sum = Math.imul(sum ^ text.charCodeAt(i), 16777619);
  return sum >>> 0;
}

/**
 * The bytes of case n: first the good files and what can be gone through one by one, then what
 * chance makes.
 */
async function mutantOf(
  { format, seed, files }: Job,
  n: number,
): Promise<{ bytes: Uint8Array; how: string; intact: boolean }> {
  if (files) return { bytes: files[n]!.bytes, how: files[n]!.name, intact: false };
  if (/^(bad|good):/.test(format)) return { bytes: new Uint8Array(1), how: format, intact: false };
  const { samples, tokens } = await corpusOf(format);
  if (n < samples.length)
    return { ...systematic(samples[n]!, 0), intact: !/^bad|refused|clone/.test(samples[n]!.name) };
  // Every other case goes through the cuts and integers of all samples, in leaps so that a short
  // run sees some of each.
  const counts = samples.map((sample) => systematicCount(sample) - 1);
  const all = counts.reduce((sum, count) => sum + count, 0);
  const turn = (n - samples.length) / 2;
  if (Number.isInteger(turn) && turn < all) {
    let rest = (turn * LEAP) % all;
    for (const [i, sample] of samples.entries()) {
      if (rest < counts[i]!) return { ...systematic(sample, rest + 1), intact: false };
      rest -= counts[i]!;
    }
  }
  const random = uniform(hash(`${format}:${seed}:${n}`));
  const sample = samples[Math.floor(random() * samples.length)]!;
  const mutant = mutate(sample, random, samples, tokens);
  const { dataStart } = sample;
  const intact =
    dataStart !== undefined &&
    mutant.bytes.length === sample.bytes.length &&
    mutant.bytes.subarray(0, dataStart).every((byte, i) => byte === sample.bytes[i]) &&
    format === 'safetensors';
  return { ...mutant, intact };
}

interface Outcome {
  error?: unknown;
  fault?: string | undefined;
  ms: number;
  observed: Observed;
  late: unknown[];
}

let late: unknown[] = [];
const keep = (error: unknown) => void late.push(error);
process.on('uncaughtException', keep);
process.on('unhandledRejection', keep);

async function tryOnce(format: string, bytes: Uint8Array<ArrayBuffer>): Promise<Outcome> {
  late = [];
  Atomics.add(state, 1, 1); // alive
  const outcome: { error?: unknown; fault?: string | undefined } = {};
  guard.start();
  const start = performance.now();
  try {
    outcome.fault = await targets[format]!(bytes);
  } catch (error) {
    outcome.error = error ?? 'undefined';
  }
  const ms = performance.now() - start;
  const observed = guard.stop();
  return { ...outcome, ms, observed, late };
}

function tooMuch({ largest, peak }: Observed, size: number): string | undefined {
  const allowed = CASE_BYTES + size;
  if (largest > allowed) return `a buffer of ${largest} bytes`;
  return peak > allowed ? `${peak} bytes held at once` : undefined;
}

async function judge(job: Job, n: number): Promise<{ failure?: Failure; refusal?: Error }> {
  const { bytes, how, intact } = await mutantOf(job, n);
  const fail = (kind: Failure['kind'], text: string) => ({
    failure: { format: job.format, seed: job.seed, n, kind, text, how },
  });
  let outcome = await tryOnce(job.format, bytes.slice());
  // A busy machine or a collection at the wrong moment: what is slow or large by itself is so
  // again.
  for (let again = 0; again < 2 && (outcome.ms > CASE_MS || tooMuch(outcome.observed, bytes.length)); again++) {
    guard.collect();
    outcome = await tryOnce(job.format, bytes.slice());
  }
  const { error, fault, ms, observed, late } = outcome;
  const memory = tooMuch(observed, bytes.length);
  if (memory) return fail('memory', `${memory} for a file of ${bytes.length}`);
  if (observed.forbidden.length) return fail('forbidden', observed.forbidden.join(', '));
  if (ms > CASE_MS) return fail('slow', `${ms.toFixed(0)} ms`);
  if (late.length) return fail('untyped error', `later: ${String((late[0] as Error)?.stack ?? late[0])}`);
  if (error !== undefined) {
    if (!typed.some((type) => error instanceof type))
      return fail(
        'untyped error',
        String((error as Error)?.stack ?? error)
          .split('\n')
          .slice(0, 6)
          .join('\n'),
      );
    const { message } = error as Error;
    if (!/got |is .*expected|missing/.test(message) || !message.includes(':'))
      return fail('message', message.slice(0, 300));
    if (message.length > 1500 || /[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/.test(message))
      return fail('message', `${message.length} characters: ${JSON.stringify(message.slice(0, 300))}`);
    if (intact) return fail('wrong load', `a good file refused: ${message}`);
    return { refusal: error as Error };
  }
  return fault === undefined ? {} : fail('wrong load', fault);
}

async function run(job: Job): Promise<void> {
  const failures: Failure[] = [];
  const refusals: Record<string, number> = {};
  const results: [number, string][] = [];
  let loads = 0;
  for (let n = job.from; n < job.to; n++) {
    Atomics.store(state, 0, n);
    const { failure, refusal } = await judge(job, n);
    if (failure) {
      if (failures.length < 50) failures.push(failure);
    } else if (refusal) {
      const kind = refusal.message.replace(/"[^"]*"|'[^']*'|\d+/g, '#').slice(0, 70);
      refusals[kind] = (refusals[kind] ?? 0) + 1;
    } else loads++;
    if (job.files || job.verbose)
      results.push([
        n,
        failure ? `${failure.kind}: ${failure.text}` : refusal ? `${refusal.name}: ${refusal.message}` : 'loaded',
      ]);
    // Timers and the parent's messages come only to a thread that rests.
    if (n % 64 === 0) await new Promise((done) => setImmediate(done));
  }
  parentPort!.postMessage({ done: { loads, refusals, failures, results } } satisfies FromWorker);
}

// What a module loads or makes when it is first used is not the doing of a case.
for (const [format, target] of Object.entries(targets)) {
  if (/^(bad|good):/.test(format)) continue;
  for (const { bytes } of (await corpusOf(format)).samples.slice(0, 3))
    await target(bytes.slice()).catch(() => undefined);
}
guard.collect();
parentPort!.on('message', (job: Job) => {
  run(job).catch((error: unknown) => {
    // the harness itself is at fault: end the thread
    process.off('uncaughtException', keep).off('unhandledRejection', keep);
    throw error;
  });
});
parentPort!.postMessage('ready');
