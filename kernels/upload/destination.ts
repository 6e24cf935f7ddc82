// Where a model's weights go while a loader walks through their names and shapes: to the GPU, or
// nowhere when only shapes are wanted. One loader serves both, so that the pipelines which are
// compiled before the weights arrive are the pipelines that the weights will need. Which tensors
// there are is the models' business (bark/gpt/, encodec/decoder.ts).

import type { BackendKind } from '../../runtime/compute/backend.ts';
import type { Device } from '../../runtime/compute/device.ts';
import { SHAPE_ONLY } from '../../runtime/compute/shape_only.ts';
import type { Tensor } from '../../runtime/compute/tensor.ts';
import { sameValues, type TensorRef } from '../../runtime/formats/weights.ts';
import type { Linear } from '../common/products.ts';
import { linearTerms } from '../linear/linear_terms.ts';
import { createMatrix, type WeightDType } from './matrix.ts';
import { uploadMatrix, uploadRows, uploadVector, type RowRange, type UploadOptions } from './upload.ts';

/** Numbers as the host packs them for a kernel, in one piece or several that follow each other. */
export type Packed = Float32Array | readonly Float32Array[];

export interface Destination {
  /** Of the device: the order of what the host packs depends on it. */
  readonly kind: BackendKind;
  /** How `matrix` and `room` store their numbers; everything else is f32. */
  readonly dtype: WeightDType;
  /** A stored matrix (N, K), or only these ranges of its rows, one after the other. */
  matrix(ref: TensorRef, rows?: readonly RowRange[]): Promise<Tensor>;
  /** A small stored tensor of any shape, as f32. */
  vector(ref: TensorRef): Promise<Tensor>;
  /**
   * A tensor that the host reads and packs itself; `pack` runs only where its numbers are needed.
   */
  packed(shape: readonly number[], pack: () => Promise<Packed>, label: string): Promise<Tensor>;
  /** An empty matrix (N, K) that several stored matrices share; `fill` brings them one by one. */
  room(shape: readonly [n: number, k: number], label: string): Tensor;
  /** All rows of a stored matrix, to rows `at`, `at` + 1, … of `room`. */
  fill(room: Tensor, ref: TensorRef, at: number): Promise<void>;
  /**
   * What `Linear.terms` is for this weight, bias and norm: (2, N), or null without bias and norm.
   */
  terms(part: Omit<Linear, 'terms'>): Promise<Tensor | null>;
  /** Whether two stored tensors hold the same bytes. */
  same(a: TensorRef, b: TensorRef): Promise<boolean>;
  /** The loader calls this after each tensor that its model counts for the progress bar. */
  arrived(): void;
}

export interface DestinationOptions extends UploadOptions {
  /** Called whenever the loader calls `arrived`. */
  onTensor?: (() => void) | undefined;
}

/**
 * New tensors on a device, booked to `owner`. Once `signal` is aborted, uploads throw its reason.
 */
export function toDevice(device: Device, options: DestinationOptions): Destination {
  const { dtype, owner, signal, onTensor } = options;
  return {
    kind: device.kind,
    dtype,
    matrix: (ref, rows) => uploadMatrix(device, ref, options, rows),
    vector: (ref) => uploadVector(device, ref, owner),
    async packed(shape, pack, label) {
      const values = await pack();
      signal?.throwIfAborted();
      const t = device.createTensor(shape, 'f32', owner, label);
      let at = 0; // bytes
      for (const part of values instanceof Float32Array ? [values] : values) {
        device.write(t, part, at);
        at += part.byteLength;
      }
      return t;
    },
    room: (shape, label) => createMatrix(device, shape, dtype, owner, label),
    fill: (room, ref, at) => uploadRows(device, room, ref, options, [[0, ref.info.shape[0]!]], at),
    terms: (part) => linearTerms(device, part, owner),
    same: sameValues,
    arrived: () => onTensor?.(),
  };
}

/**
 * Tensors that have shapes and no memory; no weight is read. A loader still throws `WeightsError`
 * where it looks up a tensor that is missing or of another shape.
 */
export function toShapes(dtype: WeightDType, kind: BackendKind = 'webgpu'): Destination {
  const shaped = (shape: readonly number[], label: string, of: 'f16' | 'f32' = dtype): Tensor =>
    SHAPE_ONLY.createTensor(shape, of, 'shape only', label);
  return {
    kind,
    dtype,
    matrix: async ({ info, name }, rows) =>
      shaped([rows ? rows.reduce((sum, [from, to]) => sum + to - from, 0) : info.shape[0]!, info.shape[1]!], name),
    vector: async ({ info, name }) => shaped(info.shape, name, 'f32'),
    packed: async (shape, _pack, label) => shaped(shape, label, 'f32'),
    room: shaped,
    fill: async () => {},
    terms: async ({ weight, bias, norm }) =>
      bias || norm ? shaped([2, weight.shape[0]!], `${weight.label} terms`, 'f32') : null,
    same: async () => true, // shapes do not depend on the answer
    arrived: () => {},
  };
}
