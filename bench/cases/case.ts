// A case of the suite `kernels`: an operation at a size that it has in a model, its work in bytes
// and operations, and a check. The check recomputes a few outputs in f64, as plainly as possible and
// from the same inputs; all of them would take longer than the timing.

import { float16ToFloat32 } from '../../runtime/base/half.ts';
import type { Device } from '../../runtime/compute/device.ts';
import type { Recorder } from '../../runtime/compute/program.ts';
import type { Tensor } from '../../runtime/compute/tensor.ts';

/**
 * An output that was computed again: its value in f64, and Σ|addends|, the scale of its rounding
 * error.
 */
export interface Expected {
  readonly at: number;
  readonly value: number;
  readonly size: number;
}

export interface Case {
  readonly op: string;
  readonly shape: string;
  readonly dtype: 'float16' | 'float32';
  /** Read and written, each tensor once. */
  readonly bytes: number;
  readonly flops: number;
  /** The first run of what it records is the one that is checked. */
  record(r: Recorder): void;
  /** Where the output lies, and what some of it must be. With `exact` they are whole numbers. */
  readonly output: Tensor;
  readonly exact?: boolean;
  expected(): Expected[];
}

/**
 * A case that is made when its turn comes; everything it makes is booked to `owner` and freed with
 * it.
 */
export type MakeCase = (owner: { name: string }) => Promise<Case>;

export const SAMPLES = 16;

/** `SAMPLES` places among `n`, the first and the last among them. */
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

/** An output as numbers. */
export async function readOutput(device: Device, t: Tensor): Promise<ArrayLike<number>> {
  const bytes = await device.read(t);
  return t.dtype === 'f16'
    ? float16ToFloat32(new Uint16Array(bytes))
    : t.dtype === 'f32'
      ? new Float32Array(bytes)
      : new Uint32Array(bytes);
}
