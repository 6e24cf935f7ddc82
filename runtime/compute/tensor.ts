// A tensor is data: a stretch of a device's buffer with a shape and a dtype. It has no operators;
// operations are kernels.

import { ShapeError } from '../base/errors.ts';

export type DType = 'f32' | 'f16' | 'u32' | 'i32';

/** Memory of a device: a GPUBuffer, or a range of WebAssembly's memory. */
export interface DeviceBuffer {
  readonly size: number;
  readonly label: string;
}

export interface Tensor {
  readonly buffer: DeviceBuffer;
  /** Bytes from the start of the buffer; a multiple of 256, as bindings ask. */
  readonly offset: number;
  readonly shape: readonly number[];
  readonly dtype: DType;
  readonly label: string;
}

export const bytesPerElement = (dtype: DType): number => (dtype === 'f16' ? 2 : 4);

/**
 * Rows of a matrix of weights start at multiples of 8 elements, so that eight are read as one or
 * two vec4<u32>.
 */
export const padTo8 = (n: number): number => Math.ceil(n / 8) * 8;

export const elements = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

/** Bytes of a dense tensor, rounded up to 4, the unit of WebGPU copies. */
export const byteSize = (shape: readonly number[], dtype: DType): number =>
  Math.ceil((elements(shape) * bytesPerElement(dtype)) / 4) * 4;

/** The same bytes under another shape with as many elements. */
export function reshape(t: Tensor, shape: readonly number[]): Tensor {
  if (elements(shape) !== elements(t.shape))
    throw new ShapeError(`${t.label}: got shape (${t.shape}), expected as many elements as (${shape}).`);
  return { ...t, shape };
}

/** Throws unless `t` has exactly this shape; null in `expected` stands for any size. */
export function expectShape(op: string, name: string, t: Tensor, expected: readonly (number | null)[]): void {
  const same = t.shape.length === expected.length && expected.every((n, i) => n === null || n === t.shape[i]);
  if (!same)
    throw new ShapeError(
      `${op}: ${name} (${t.label}) has shape (${t.shape.join(', ')}), expected (${expected.map((n) => n ?? '*').join(', ')}).`,
    );
}

export function expectDType(op: string, name: string, t: Tensor, ...expected: DType[]): void {
  if (!expected.includes(t.dtype))
    throw new ShapeError(`${op}: ${name} (${t.label}) is ${t.dtype}, expected ${expected.join(' or ')}.`);
}
