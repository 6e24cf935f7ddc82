// Memory for a matrix of weights (N, K), in the order in which the device at hand reads it: row by
// row for WebGPU, in panels of 16 rows for the processor (kernels/common/weights.as.ts).

import { float32ToFloat16 } from '../../runtime/base/half.ts';
import type { Device } from '../../runtime/compute/device.ts';
import type { Owner } from '../../runtime/compute/ledger.ts';
import { padTo8, type DType, type Tensor } from '../../runtime/compute/tensor.ts';

/** How weights are stored. */
export type WeightDType = Extract<DType, 'f16' | 'f32'>;

/** Rows of a panel; and tables that lie one after the other begin at multiples of it. */
export const PANEL = 16;

/** An empty matrix; its rows take room for a multiple of 8 columns. */
export function createMatrix(
  device: Device,
  [n, k]: readonly [n: number, k: number],
  dtype: WeightDType,
  owner: Owner,
  label: string,
): Tensor {
  const rows = device.kind === 'wasm' ? Math.ceil(n / PANEL) * PANEL : n;
  return { ...device.createTensor([rows, padTo8(k)], dtype, owner, label), shape: [n, k] };
}

/** Where W[n, k] of a matrix with `columns` columns stands in panels, in elements. */
export function placeInPanels(n: number, k: number, columns: number, dtype: WeightDType): number {
  const row = n % PANEL;
  const place = dtype === 'f32' ? row : (row & 8) + ((row & 3) << 1) + ((row >> 2) & 1);
  return (n - row) * columns + k * PANEL + place;
}

/**
 * A matrix with values that the host has, rounded to `dtype`. K must be a multiple of 8. For tests
 * of kernels and of a machine; a checkpoint's matrices come by upload.ts.
 */
export function matrixOf(
  device: Device,
  values: Float32Array,
  shape: readonly [n: number, k: number],
  dtype: WeightDType,
  owner: Owner,
  label: string,
): Tensor {
  const t = createMatrix(device, shape, dtype, owner, label);
  const numbers = dtype === 'f16' ? float32ToFloat16(values) : values;
  const [n, k] = shape;
  let ordered = numbers;
  if (device.kind === 'wasm') {
    const padded = Math.ceil(n / PANEL) * PANEL * k;
    ordered = dtype === 'f16' ? new Uint16Array(padded) : new Float32Array(padded);
    for (let row = 0; row < n; row++)
      for (let c = 0; c < k; c++) ordered[placeInPanels(row, c, k, dtype)] = numbers[row * k + c]!;
  }
  device.write(t, new Uint8Array(ordered.buffer as ArrayBuffer, ordered.byteOffset, ordered.byteLength));
  return t;
}
