// What all sides share: the operations, their fixed inputs, the reference results, and the messages
// between the bench and the processes that run the operations. Times are wall-clock time and
// processor time of the whole process; other work on the machine does not stretch the latter.

import { fork, spawn, type ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { openCheckpoint } from '../../runtime/formats/open_checkpoint.ts';
import { openModelSource } from '../../runtime/sources/open_source.ts';
import { readFloat32, walkWeights } from '../../runtime/formats/weights.ts';
import { median, rounded } from '../measure/harness.ts';

/**
 * `decode`: one token after PAST others. `prefill…`: a prompt of that many tokens and its last
 * logits.
 * `fine`: a pass of the fine model over 1,024 frames. `codec`: CODEC_FRAMES frames to audio.
 */
export const OPERATIONS = ['decode', 'prefill257', 'prefill887', 'fine', 'codec'] as const;
export type Operation = (typeof OPERATIONS)[number];
/** What is timed besides: a whole sentence, see generate.ts. */
export const TASKS = [...OPERATIONS, 'generate'] as const;
export type Task = (typeof TASKS)[number];
export const PAST = 300;
/** Five seconds. */
export const CODEC_FRAMES = 375;
export const prefillOf = (operation: Operation): number => Number(operation.slice('prefill'.length));

export type DType = 'float16' | 'float32';
export type PeerDType = DType | 'bfloat16';
export interface Variant {
  readonly form: 'exported' | 'fused';
  readonly dtype: DType;
}

export interface Work {
  /** Holds weights/ and reference/, see export.py. */
  readonly folder: string;
  readonly layers: number;
  readonly width: number;
  readonly heads: number;
}

/**
 * Allowed distance of logits from the float32 reference: root mean square of the difference over
 * the logits' standard deviation. Unrelated logits have a distance of 1.4.
 */
export const TOLERANCE: Readonly<Record<PeerDType, number>> = { float32: 1e-3, float16: 5e-2, bfloat16: 1e-1 };

/**
 * The same for ONNX Runtime's attention of many queries on a software adapter, whose flaw there is
 * known (README.md) and measured at 0.02 to 0.026.
 */
export const FLAWED_TOLERANCE = 3e-2;

export interface Reference {
  /** Token ids of 1,024 positions; the codec has none. */
  readonly ids: Int32Array;
  /** Codes (1024, 8), of the codec (8, CODEC_FRAMES). */
  readonly codes: Int32Array;
  tensor(name: string): Float32Array;
  /** How far `logits` of an operation are from the reference's, see TOLERANCE. */
  error(operation: Operation, logits: Float32Array): number;
}

export async function readReference(folder: string): Promise<Reference> {
  const checkpoint = await openCheckpoint(await openModelSource(join(folder, 'reference')));
  const weights = walkWeights(checkpoint);
  const tensors = new Map<string, Float32Array>();
  const ints = async (name: string): Promise<Int32Array> =>
    checkpoint.names().includes(name) ? new Int32Array((await checkpoint.read(name)).slice().buffer) : new Int32Array();
  const [ids, codes] = [await ints('ids'), await ints('codes')];
  for (const name of checkpoint.names())
    if (name !== 'ids' && name !== 'codes')
      tensors.set(name, await readFloat32(weights.tensor(name, checkpoint.info(name).shape)));
  await checkpoint.close();
  const tensor = (name: string): Float32Array => tensors.get(name)!;
  return { ids, codes, tensor, error: (operation, logits) => difference(logits, tensor(operation)) };
}

/** See TOLERANCE. Infinity where there are not as many, NaN where one is not a number. */
export function difference(actual: Float32Array, expected: Float32Array): number {
  if (actual.length !== expected.length) return Infinity;
  const mean = expected.reduce((sum, value) => sum + value, 0) / expected.length;
  const variance = expected.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return Math.sqrt(expected.reduce((sum, value, i) => sum + (actual[i]! - value) ** 2, 0) / variance);
}

export interface Checked {
  /** Of the adapter, or what computes. */
  readonly device: string;
  readonly error: number;
  /** Anything worth printing with it, and what another side is to be given. */
  readonly [more: string]: string | number | null | readonly number[];
}

export interface Timed {
  readonly ms: number;
  readonly cpuMs: number;
}

/** Times of one or both sides, as medians. */
export interface Compared {
  readonly ours?: Timed | undefined;
  readonly peer?: Timed | undefined;
  readonly runs: number;
}

/** The columns of a row that compares both sides; a ratio above 1 is in our favour. */
export function sides({ ours, peer, runs }: Compared) {
  const told = (value: number | undefined): number | null => (value === undefined ? null : rounded(value, 2));
  const both = ours && peer;
  return {
    oursMs: told(ours?.ms),
    peerMs: told(peer?.ms),
    ratio: told(both && peer.ms / ours.ms),
    oursCpuMs: told(ours?.cpuMs),
    peerCpuMs: told(peer?.cpuMs),
    cpuRatio: told(both && peer.cpuMs / ours.cpuMs),
    runs,
  };
}

/** One side or both in turns, so that other work on the machine affects both. */
export async function inTurns(
  operation: Task,
  { ours, peer }: { readonly ours?: Worker | undefined; readonly peer?: Worker | undefined },
  times: number,
  repeats: number,
): Promise<Compared> {
  const runs: { ours?: Timed | undefined; peer?: Timed | undefined }[] = [];
  const begin = performance.now();
  do {
    await rest();
    const ourTime = await ours?.time(operation, times);
    await rest();
    runs.push({ ours: ourTime, peer: await peer?.time(operation, times) });
  } while (runs.length < repeats && performance.now() - begin < BUDGET_MS);
  const middle = (side: 'ours' | 'peer'): Timed | undefined => {
    const of = runs.flatMap((run) => run[side] ?? []);
    return of.length === 0
      ? undefined
      : { ms: median(of.map(({ ms }) => ms)), cpuMs: median(of.map(({ cpuMs }) => cpuMs)) };
  };
  return { ours: middle('ours'), peer: middle('peer'), runs: runs.length };
}

/**
 * Threads of a peer go on spinning for a while after their work (OpenMP's by default), and would
 * take the cores of whoever is next.
 */
const rest = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 700));

const BUDGET_MS = 60_000; // no further repetition is begun after it

export interface Worker {
  /** Runs an operation and compares its result with the reference, or with what is `given`. */
  check(operation: Task, given?: object): Promise<Checked>;
  /** Runs it `times` times and waits for the result; numbers are of one time. */
  time(operation: Task, times: number): Promise<Timed>;
  end(): void;
}

type Call<T extends Task = Task> =
  | { readonly call: 'check'; readonly operation: T; readonly given?: object | undefined }
  | { readonly call: 'run'; readonly operation: T; readonly times: number };
type Answer = { readonly value: Checked | Timed } | { readonly failed: string };

/**
 * A process that runs a script of this folder, which answers by `answerCalls`; with `python`, one
 * that reads and writes lines of JSON. A call that takes longer than `seconds` ends it.
 */
export function worker(
  script: string,
  input: object,
  { python, seconds = 3600 }: { python?: string | undefined; seconds?: number | undefined } = {},
): Worker {
  const path = join(import.meta.dirname, script);
  const text = JSON.stringify(input);
  const child: ChildProcess = python
    ? spawn(python, ['-W', 'ignore', path, text], { stdio: ['pipe', 'pipe', 'pipe'] })
    : fork(path, [text], { execArgv: ['--import', 'tsx'], stdio: ['ignore', 'pipe', 'pipe', 'ipc'] });
  let said = '';
  let answered: ((answer: Answer) => void) | undefined;
  const gone: Promise<Answer> = new Promise((resolve) => {
    child.on('error', (error) => resolve({ failed: error.message }));
    child.on('exit', (code, signal) => resolve({ failed: `${script} ended with ${signal ?? code}:\n${said.trim()}` }));
  });
  child.stderr!.on('data', (part: Buffer) => (said = (said + part.toString()).slice(-2000)));
  createInterface({ input: child.stdout! }).on('line', (line) => {
    if (python && line.startsWith('{')) answered?.(JSON.parse(line) as Answer);
    else said = `${said}${line}\n`.slice(-2000);
  });
  child.on('message', (answer) => answered?.(answer as Answer));
  child.stdin?.on('error', () => {}); // the exit is reported by `gone`
  const ask = async (call: Call): Promise<Checked | Timed> => {
    const answer = new Promise<Answer>((resolve) => (answered = resolve));
    if (python) child.stdin!.write(`${JSON.stringify(call)}\n`);
    else if (child.connected) child.send(call);
    let timer: NodeJS.Timeout | undefined;
    const late: Promise<Answer> = new Promise((resolve) => {
      timer = setTimeout(() => {
        child.kill('SIGKILL');
        const doing = call.call === 'check' ? 'starting, compiling and one run' : `${call.times} runs`;
        resolve({ failed: `${doing} took longer than the ${seconds} s that were allowed (--limit)` });
      }, 1000 * seconds);
    });
    const got = await Promise.race([answer, gone, late]);
    clearTimeout(timer);
    if ('failed' in got) throw new Error(got.failed);
    return got.value;
  };
  return {
    check: (operation, given) => ask({ call: 'check', operation, given }) as Promise<Checked>,
    time: (operation, times) => ask({ call: 'run', operation, times }) as Promise<Timed>,
    end: () => void child.kill('SIGKILL'),
  };
}

/** The child's side of `worker`: answers one call after another until the parent goes. */
export function answerCalls<T extends Task = Operation>({
  check,
  run,
}: {
  check(operation: T, given?: object): Promise<Checked>;
  run(operation: T, times: number): Promise<void>;
}): void {
  const answer = async (call: Call<T>): Promise<Answer> => {
    try {
      if (call.call === 'check') return { value: await check(call.operation, call.given) };
      const start = performance.now();
      const before = process.cpuUsage();
      await run(call.operation, call.times);
      const { user, system } = process.cpuUsage(before);
      return { value: { ms: (performance.now() - start) / call.times, cpuMs: (user + system) / 1000 / call.times } };
    } catch (error) {
      return { failed: (error as Error).message };
    }
  };
  process.on('message', (call) => void answer(call as Call<T>).then((value) => process.send!(value)));
  process.on('disconnect', () => process.exit(0));
}
