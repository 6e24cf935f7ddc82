// Tensors of tests: up, down, and what rounding may make of them.

import { float16ToFloat32, float32ToFloat16 } from '../../runtime/base/half.ts';
import { record, type Recorder } from '../../runtime/compute/program.ts';
import { elements, type DType, type Tensor } from '../../runtime/compute/tensor.ts';
import { matrixOf, type WeightDType } from '../../kernels/upload/matrix.ts';
import { testDevice } from '../device.ts';

/** Rounding error of one f32 operation, relative to its result. */
export const ROUNDING = 2 ** -24;
/**
 * What a value may lose when it becomes an f16 in a cache: WGSL lets pack2x16float round to either
 * neighbour, so a whole step, 2^-10 of the value and 2^-24 among the subnormals.
 */
export const halfStep = (value: number): number => Math.max(2 ** -10 * Math.abs(value), 2 ** -24);
/**
 * Error of f32 sums of n addends in any order, relative to Σ|addends|: n roundings of random sign,
 * and a few of the epilogue.
 */
export const sumError = (n: number): number => (2 * Math.sqrt(n) + 8) * ROUNDING;
/**
 * The same where the matrix unit rounds x to f16 first: each product is then off by half a step of
 * f16, 2^-11 of it, at most. (Not of what is below f16's normal numbers; tests of random numbers
 * have no sum that those decide.) `exact`: x is f16 already, and nothing is lost.
 */
export const productError = (n: number, variant: string, exact: boolean): number =>
  sumError(n) + (variant === 'subgroup_matrix' && !exact ? 2 ** -11 : 0);
/** What outputs hold before a run, to see what it leaves alone. */
export const UNTOUCHED = 7.25;

export const filled = (n: number, value = UNTOUCHED): Float32Array => new Float32Array(n).fill(value);

/** Values as they are once they are stored as `dtype`. */
export const stored = (values: Float32Array, dtype: DType): Float32Array =>
  dtype === 'f16' ? float16ToFloat32(float32ToFloat16(values)) : values;

export async function upload(
  values: Float32Array,
  shape: readonly number[],
  dtype: 'f32' | 'f16' = 'f32',
  label = 'test',
): Promise<Tensor> {
  const device = await testDevice();
  if (values.length !== elements(shape)) throw new Error(`got ${values.length} values for (${shape.join(', ')})`);
  const t = device.createTensor(shape, dtype, 'test', label);
  const halves = dtype === 'f16' ? float32ToFloat16(values) : undefined;
  device.write(t, halves ? new Uint8Array(halves.buffer) : values);
  return t;
}

/** A matrix of weights, in the order in which the device reads it. */
export async function uploadWeights(
  values: Float32Array,
  shape: readonly [number, number],
  dtype: WeightDType = 'f32',
  label = 'test',
): Promise<Tensor> {
  return matrixOf(await testDevice(), values, shape, dtype, 'test', label);
}

export async function uploadIds(ids: Uint32Array, shape: readonly number[]): Promise<Tensor> {
  const device = await testDevice();
  const t = device.createTensor(shape, 'u32', 'test');
  device.write(t, ids);
  return t;
}

export async function download(t: Tensor): Promise<Float32Array> {
  const bytes = await (await testDevice()).read(t);
  return t.dtype === 'f16'
    ? float16ToFloat32(new Uint16Array(bytes).subarray(0, elements(t.shape)))
    : new Float32Array(bytes);
}

/** Records `body`, runs it once and forgets it. */
export async function runOnce(body: (r: Recorder) => void): Promise<void> {
  const program = await record(await testDevice(), body, { label: 'test' });
  program.run();
  program.dispose();
}

export async function free(...tensors: (Tensor | null | undefined)[]): Promise<void> {
  const device = await testDevice();
  for (const t of tensors) if (t) device.destroyBuffer(t.buffer);
}

/** Each value within its own bound; 0 asks for the very same. */
export function assertWithin(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  allowed: ArrayLike<number>,
  label: string,
): void {
  if (actual.length !== expected.length)
    throw new Error(`${label}: got ${actual.length} values, expected ${expected.length}`);
  let failed = 0;
  let worst = -1;
  let worstExcess = 0;
  for (let i = 0; i < expected.length; i++) {
    const error = Math.abs(actual[i]! - expected[i]!);
    if (error <= allowed[i]!) continue; // NaN fails this
    failed++;
    const excess = error / allowed[i]!;
    if (worst < 0 || !(excess <= worstExcess)) [worst, worstExcess] = [i, excess];
  }
  if (failed)
    throw new Error(
      `${label}: ${failed} of ${expected.length} values differ; the worst at [${worst}]: got ${actual[worst]}, expected ${expected[worst]} ± ${allowed[worst]}`,
    );
}

/**
 * Software drivers take a second to compile a large shader, and every K, N and option is a pipeline
 * of its own: tests run a choice of shapes, and these too with BARK_TEST_FULL set.
 */
export const onlyFull = <T>(...cases: T[]): T[] => (process.env.BARK_TEST_FULL ? cases : []);

/**
 * Error of softmax(scores) · V relative to Σ p·|v|. A score is a sum of `headDim` products of size
 * `scoreSize` = Σ|q·k|/√D, scaled and shifted; its absolute error is a relative one of p, above and
 * below the line; exp adds 3 + 2|x| roundings (WGSL's bound), at most as many as the score is
 * large; the sums over `seen` positions come on top.
 */
export const attentionError = (headDim: number, seen: number, scoreSize: number): number =>
  2 * (sumError(headDim) + 4 * ROUNDING) * scoreSize + 2 * sumError(seen);
