// Stored tensors to tensors on the GPU: matrices as weights (rows padded, cast on the GPU), vectors
// as f32.

import type { Device } from '../../runtime/compute/device.ts';
import { UnsupportedError } from '../../runtime/base/errors.ts';
import type { Owner } from '../../runtime/compute/ledger.ts';
import { padTo8, type DType, type Tensor } from '../../runtime/compute/tensor.ts';
import { readFloat32, type TensorRef } from '../../runtime/formats/weights.ts';
import { castRows, type SourceDType, type StoredMatrix } from './cast.ts';

/** How weights are stored on the GPU. */
export type WeightDType = Extract<DType, 'f16' | 'f32'>;

/** Rows [from, to) of a stored matrix. */
export type RowRange = readonly [from: number, to: number];

export interface UploadOptions {
  dtype: WeightDType;
  /** The ledger's name for who holds it. */
  owner: Owner;
  signal?: AbortSignal | undefined;
}

/**
 * A matrix (N, K), or the given ranges of its rows one after the other, with rows padded with zeros
 * to a multiple of 8.
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
  const y = device.createTensor([count, padTo8(k)], options.dtype, options.owner, ref.name);
  await uploadRows(device, y, ref, options, ranges);
  return { ...y, shape: [count, k] };
}

/** Row ranges of a stored matrix to rows `at` … of a tensor that is there already. */
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

/** A small tensor of any shape as f32. */
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
