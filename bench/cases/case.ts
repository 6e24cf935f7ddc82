// A case of the suite `kernels`: an operation at a size that it has in a model, its work in bytes
// and operations, and a check. The check recomputes a few outputs in f64, as plainly as possible
// and from the same inputs; all of them would take longer than the timing.

import { float16ToFloat32 } from '../../runtime/base/half.ts';
import type { Device } from '../../runtime/compute/device.ts';
import type { Recorder } from '../../runtime/compute/program.ts';
import type { Tensor } from '../../runtime/compute/tensor.ts';

/**
 * One output element, by its index in the output: its value in f64, and Σ|addends| of the sum
 * behind it, which the rounding error of f32 grows with.
 */
interface Expected {
  readonly at: number;
  readonly value: number;
  readonly size: number;
}

export interface Case {
  readonly op: string;
  readonly shape: string;
  readonly dtype: 'float16' | 'float32';
  /** Bytes read and written, each tensor counted once. */
  readonly bytes: number;
  readonly flops: number;
  /** Records the operation. The output of its first run is the one that is checked. */
  record(r: Recorder): void;
  readonly output: Tensor;
  /** The outputs are whole numbers and must be equal. */
  readonly exact?: boolean;
  expected(): Expected[];
}

/**
 * Makes a case when its turn comes, so that only one case's tensors are on the GPU at a time. They
 * belong to `owner` and are freed together.
 */
export type MakeCase = (owner: { name: string }) => Promise<Case>;

/** Outputs of a case that are checked, at most. */
const SAMPLES = 16;

/** `SAMPLES` indices below `n`, the first and the last among them. */
export const places = (n: number): number[] =>
  Array.from({ length: Math.min(SAMPLES, n) }, (_, i) =>
    i === 0 ? 0 : i === 1 ? n - 1 : Math.floor(((i * 0.618034) % 1) * n),
  );

/** Σ a(k)·b(k), k < n. */
export function dot(n: number, a: (k: number) => number, b: (k: number) => number): { value: number; size: number } {
  let [value, size] = [0, 0];
  for (let k = 0; k < n; k++) {
    const product = a(k) * b(k);
    value += product;
    size += Math.abs(product);
  }
  return { value, size };
}

/** A tensor's content as numbers, whatever its dtype. */
export async function readOutput(device: Device, t: Tensor): Promise<ArrayLike<number>> {
  const bytes = await device.read(t);
  return t.dtype === 'f16'
    ? float16ToFloat32(new Uint16Array(bytes))
    : t.dtype === 'f32'
      ? new Float32Array(bytes)
      : new Uint32Array(bytes);
}

/**
 * Largest error of an f32 result relative to Σ|addends|: twice what 4,096 roundings of random sign
 * and the polynomial for erf come to.
 */
const TOLERANCE = 2e-5;

/**
 * Compares the sampled outputs with f64 and returns the largest error relative to Σ|addends|.
 * Throws if one is wrong.
 */
export async function expectCase(device: Device, { op, shape, output, expected, exact }: Case): Promise<number> {
  const values = await readOutput(device, output);
  let worst = 0;
  for (const { at, value, size } of expected()) {
    const error = Math.abs(values[at]! - value);
    const relative = exact ? error : error / (size + 0.1);
    if (!(relative <= (exact ? 0 : TOLERANCE)))
      throw new Error(
        `${op} ${shape}: got ${values[at]} at ${at}, expected ${value} ± ${exact ? 0 : TOLERANCE * (size + 0.1)}.`,
      );
    worst = Math.max(worst, relative);
  }
  return worst;
}
