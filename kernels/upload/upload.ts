// Uploads stored tensors to the GPU: matrices as weights (rows padded, cast on the GPU), small
// tensors as f32.

import type { Device } from '../../runtime/compute/device.ts';
import { UnsupportedError } from '../../runtime/base/errors.ts';
import type { Owner } from '../../runtime/compute/ledger.ts';
import type { Tensor } from '../../runtime/compute/tensor.ts';
import { readFloat32, type TensorRef } from '../../runtime/formats/weights.ts';
import { castRows, type SourceDType, type StoredMatrix } from './cast.ts';
import { createMatrix, type WeightDType } from './matrix.ts';

/** Rows [from, to) of a stored matrix. */
export type RowRange = readonly [from: number, to: number];

export interface UploadOptions {
  dtype: WeightDType;
  /** Whose memory it is in `device.memory()`. */
  owner: Owner;
  signal?: AbortSignal | undefined;
}

/**
 * A new tensor with the stored matrix (N, K), or with the given ranges of its rows below each
 * other.
 * In memory each row is padded with zeros to a multiple of 8. Throws UnsupportedError for a stored
 * dtype other than F32, F16 and BF16, and the signal's reason once it is aborted.
 */
export async function uploadMatrix(
  device: Device,
  ref: TensorRef,
  options: UploadOptions,
  rows?: readonly RowRange[],
): Promise<Tensor> {
  const [n, k] = ref.info.shape as [number, number];
  const ranges = rows ?? [[0, n]];
  const count = ranges.reduce((sum, [from, to]) => sum + to - from, 0);
  const y = createMatrix(device, [count, k], options.dtype, options.owner, ref.name);
  await uploadRows(device, y, ref, options, ranges);
  return y;
}

/** Copies row ranges of a stored matrix to rows `at`, `at` + 1, … of the existing tensor y. */
export async function uploadRows(
  device: Device,
  y: Tensor,
  ref: TensorRef,
  { signal }: Pick<UploadOptions, 'signal'>,
  ranges: readonly RowRange[],
  at = 0,
): Promise<void> {
  const stored = storedMatrix(ref);
  for (const [from, to] of ranges) {
    signal?.throwIfAborted();
    await castRows(device, y, stored, from, to, at);
    at += to - from;
  }
}

/** A new f32 tensor with the values of a small stored tensor of any shape. */
export async function uploadVector(device: Device, ref: TensorRef, owner: Owner): Promise<Tensor> {
  const values = await readFloat32(ref);
  const t = device.createTensor(ref.info.shape, 'f32', owner, ref.name);
  device.write(t, values);
  return t;
}

function storedMatrix({ name, info, read }: TensorRef): StoredMatrix {
  if (!isSourceDType(info.dtype))
    throw new UnsupportedError(
      `${name}: got dtype ${info.dtype}, expected F32, F16 or BF16. Save the model in one of these.`,
    );
  return { label: name, shape: info.shape as [number, number], dtype: info.dtype, read };
}

const isSourceDType = (dtype: string): dtype is SourceDType => dtype === 'F32' || dtype === 'F16' || dtype === 'BF16';
