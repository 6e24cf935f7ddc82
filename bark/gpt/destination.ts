// Where a model's tensors go when its names and shapes are walked: to the GPU, or nowhere, when
// only shapes are wanted (runtime/compute/shape_only.ts). One walk serves both, so that what is
// compiled ahead is what will be loaded. Which tensors there are is the models' matter (gpt.ts,
// fine.ts).

import { linearTerms } from '../../kernels/linear/linear_terms.ts';
import {
  uploadMatrix,
  uploadRows,
  uploadVector,
  type RowRange,
  type UploadOptions,
  type WeightDType,
} from '../../kernels/upload/upload.ts';
import type { Device } from '../../runtime/compute/device.ts';
import { SHAPE_ONLY } from '../../runtime/compute/shape_only.ts';
import type { Tensor } from '../../runtime/compute/tensor.ts';
import { sameValues, type TensorRef } from '../../runtime/formats/weights.ts';
import type { Linear } from '../../kernels/common/products.ts';

export interface Destination {
  /** Of matrices; vectors are f32. */
  readonly dtype: WeightDType;
  /** A stored matrix (N, K), or ranges of its rows one after the other. */
  matrix(ref: TensorRef, rows?: readonly RowRange[]): Promise<Tensor>;
  vector(ref: TensorRef): Promise<Tensor>;
  /** An empty matrix for several stored ones, and all rows of one of them to rows `at` … of it. */
  room(shape: readonly [n: number, k: number], label: string): Tensor;
  fill(room: Tensor, ref: TensorRef, at: number): Promise<void>;
  /** `Linear.terms` of the rest of it. */
  terms(part: Omit<Linear, 'terms'>): Promise<Tensor | null>;
  /** Whether two tensors hold the same bytes. */
  same(a: TensorRef, b: TensorRef): Promise<boolean>;
  /** One more of the tensors that the model counts has arrived. */
  arrived(): void;
}

export interface LoadOptions extends UploadOptions {
  /** Called for each tensor that the model counts. */
  onTensor?: (() => void) | undefined;
}

export function toGpu(device: Device, options: LoadOptions): Destination {
  const { dtype, owner, onTensor } = options;
  return {
    dtype,
    matrix: (ref, rows) => uploadMatrix(device, ref, options, rows),
    vector: (ref) => uploadVector(device, ref, owner),
    room: (shape, label) => device.createTensor(shape, dtype, owner, label),
    fill: (room, ref, at) => uploadRows(device, room, ref, options, [[0, ref.info.shape[0]!]], at),
    terms: (part) => linearTerms(device, part, owner),
    same: sameValues,
    arrived: () => onTensor?.(),
  };
}

/** Reads nothing; throws like the other for tensors that are missing or of another shape. */
export function toNowhere(dtype: WeightDType): Destination {
  const shaped = (shape: readonly number[], label: string, of: 'f16' | 'f32' = dtype): Tensor =>
    SHAPE_ONLY.createTensor(shape, of, 'nowhere', label);
  return {
    dtype,
    matrix: async ({ info, name }, rows) =>
      shaped([rows ? rows.reduce((sum, [from, to]) => sum + to - from, 0) : info.shape[0]!, info.shape[1]!], name),
    vector: async ({ info, name }) => shaped(info.shape, name, 'f32'),
    room: shaped,
    fill: async () => {},
    terms: async ({ weight, bias, norm }) =>
      bias || norm ? shaped([2, weight.shape[0]!], `${weight.label} terms`, 'f32') : null,
    same: async () => true, // either way it is a matrix of this shape
    arrived: () => {},
  };
}
