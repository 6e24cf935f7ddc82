// A provider of ONNX Runtime in a process of its own: opens the graphs that export.py wrote, gives
// their logits for comparison, and runs an operation when its parent asks. Two WebGPU
// implementations in one process would get in each other's way.
// `webgpu` is that of onnxruntime-node. Keys and values stay on the GPU (`preferredOutputLocation`);
// logits come to the host, where ONNX Runtime's users sample. `wasm` is that of onnxruntime-web:
// its sessions own their memory, so that what goes in and comes out is copied, as in a page.

import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { float16ToFloat32, float32ToFloat16 } from '../../runtime/base/half.ts';
import { answerCalls, PAST, prefillOf, readReference, type Operation, type Variant, type Work } from './work.ts';

/** What is used of onnxruntime-node, which the package does not depend on. */
interface OrtTensor {
  readonly dims: readonly number[];
  readonly type: string;
  readonly location: string;
  readonly data: Float32Array | Uint16Array | BigInt64Array;
  dispose(): void;
}
type Values = Record<string, OrtTensor>;
interface OrtSession {
  run(feeds: Values, fetches?: Values): Promise<Values>;
  release(): Promise<void>;
}
interface Ort {
  readonly Tensor: new (type: string, data: ArrayLike<number> | BigInt64Array, dims: readonly number[]) => OrtTensor;
  readonly InferenceSession: { create(path: string, options: object): Promise<OrtSession> };
  /** Of onnxruntime-web. */
  readonly env: { readonly wasm: { numThreads?: number } };
}

export interface OrtInput extends Work {
  /** Where the provider's package was installed. */
  readonly packages: string;
  readonly provider: 'webgpu' | 'wasm';
  /** Of `wasm`. */
  readonly threads: number;
  readonly variant: Variant;
}

const CAPACITY = 1024; // positions of the cache that is updated in place

const input = JSON.parse(process.argv[2]!) as OrtInput;
const { packages, folder, layers, width, heads, variant, provider, threads } = input;
const { Tensor, InferenceSession, env } = createRequire(join(packages, 'package.json'))(
  provider === 'wasm' ? 'onnxruntime-web' : 'onnxruntime-node',
) as Ort;
if (provider === 'wasm') env.wasm.numThreads = threads;
const { form, dtype } = variant;
const headSize = width / heads;
const reference = await readReference(folder);

const int64 = (values: ArrayLike<number>, dims: readonly number[]): OrtTensor =>
  new Tensor('int64', BigInt64Array.from(values as number[], BigInt), dims);
const int32 = (value: number): OrtTensor => new Tensor('int32', Int32Array.of(value), [1]);
const float = (values: Float32Array, dims: readonly number[]): OrtTensor =>
  new Tensor(dtype, dtype === 'float16' ? float32ToFloat16(values) : values, dims);
const names = (what: string): string[] =>
  Array.from({ length: layers }, (_, i) => ['k', 'v'].map((n) => `${what}_${i}_${n}`)).flat();
const from = (start: number, count: number): number[] => Array.from({ length: count }, (_, i) => start + i);

const sessions = new Map<string, Promise<OrtSession>>();

/** The session of a graph; one at a time, for memory's sake. */
async function open(name: string): Promise<OrtSession> {
  for (const [other, session] of sessions) {
    if (other === name) continue;
    sessions.delete(other);
    await (await session).release();
  }
  let session = sessions.get(name);
  if (!session) {
    const path = join(folder, `graphs-${name === 'fine' ? 'fine' : 'causal'}`, `${form}-${dtype}`, `${name}.onnx`);
    if (!existsSync(path)) throw new Error(`${path}: got no file, expected a graph of export.py.`);
    const preferredOutputLocation =
      name === 'fine' || provider === 'wasm'
        ? {}
        : Object.fromEntries(names('present').map((present) => [present, 'gpu-buffer']));
    sessions.set(
      name,
      (session = InferenceSession.create(path, {
        executionProviders: [provider],
        graphOptimizationLevel: 'all',
        logSeverityLevel: 3,
        preferredOutputLocation,
      })),
    );
  }
  return session;
}

/** A past on the GPU, or `length` positions of the reference's past from the host. */
function past(capacity: number): Values {
  return Object.fromEntries(
    names('past').map((name) => {
      const rows = reference.tensor(name); // (1, heads, PAST, d)
      const padded = new Float32Array(heads * capacity * headSize);
      for (let h = 0; h < heads; h++)
        padded.set(rows.subarray(h * PAST * headSize, (h + 1) * PAST * headSize), h * capacity * headSize);
      return [name, float(padded, [1, heads, capacity, headSize])];
    }),
  );
}

const renamed = (values: Values, what: string): Values =>
  Object.fromEntries(names(what).map((name, i) => [name, values[names('present')[i]!]!]));

/** Runs of the fused graph over a cache that stays where it is. */
let cache: Values | undefined;
async function runFused(tokens: number, start: number): Promise<OrtTensor> {
  const session = await open('causal');
  const feeds = {
    ids: int64(reference.ids.subarray(start, start + tokens), [1, tokens]),
    position: int64(from(start, tokens), [1, tokens]),
    seqlens_k: int32(start + tokens - 1),
    total: int32(start + tokens),
  };
  if (!cache) {
    // The first run brings the past to the GPU; its outputs are what later runs read and write.
    const first = await session.run({ ...feeds, ...past(CAPACITY) });
    cache = renamed(first, 'present');
    return first.logits!;
  }
  const pasts = Object.fromEntries(names('past').map((name, i) => [name, cache![names('present')[i]!]!]));
  return (await session.run({ ...feeds, ...pasts }, { logits: null as unknown as OrtTensor, ...cache })).logits!;
}

let concatenated: Values | undefined;
async function runExported(operation: Operation): Promise<OrtTensor> {
  const session = await open(operation);
  const decode = operation === 'decode';
  const tokens = decode ? 1 : prefillOf(operation);
  const start = decode ? PAST : 0;
  const feeds = {
    ids: int64(reference.ids.subarray(start, start + tokens), [1, tokens]),
    position: int64(from(start, tokens), [1, tokens]),
  };
  if (decode && !concatenated) {
    concatenated = past(PAST);
  }
  const { logits, ...presents } = await session.run(decode ? { ...feeds, ...concatenated } : feeds);
  // The next step takes the outputs as its past, as generation does, so the context grows by one
  // with each run.
  if (decode) {
    for (const tensor of Object.values(concatenated!)) if (tensor.location === 'gpu-buffer') tensor.dispose();
    concatenated = renamed(presents, 'past');
  } else for (const tensor of Object.values(presents)) tensor.dispose();
  return logits!;
}
async function run(operation: Operation): Promise<OrtTensor> {
  if (operation === 'fine')
    return (
      await (
        await open('fine')
      ).run({
        codes: int64(reference.codes, [1, CAPACITY, reference.codes.length / CAPACITY]),
        position: int64(from(0, CAPACITY), [1, CAPACITY]),
      })
    ).logits!;
  if (form === 'exported') return runExported(operation);
  return operation === 'decode' ? runFused(1, PAST) : runFused(prefillOf(operation), 0);
}

answerCalls({
  async check(operation) {
    cache = concatenated = undefined;
    const { data } = await run(operation);
    // The second run is over the cache on the GPU, the first was over the host's.
    const again = operation === 'decode' && form === 'fused' ? (await run(operation)).data : data;
    return {
      device: provider === 'wasm' ? `ONNX Runtime WebAssembly, ${threads} threads` : 'ONNX Runtime WebGPU',
      error: reference.error(
        operation,
        again instanceof Uint16Array ? float16ToFloat32(again) : (again as Float32Array),
      ),
      location: Object.values<OrtTensor>(cache ?? concatenated ?? {})[0]?.location ?? 'none',
    };
  },
  async run(operation, times) {
    for (let time = 0; time < times; time++) await run(operation);
  },
});
