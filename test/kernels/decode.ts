// What the tests of row kernels share: the state of a batch, and the bound of a LayerNorm that is
// folded into a product.

import type { Device } from '../../runtime/compute/device.ts';
import type { Tensor } from '../../runtime/compute/tensor.ts';
import { createState, writeRow, type RowState } from '../../kernels/state.ts';
import { linearTerms } from '../../kernels/linear/linear_terms.ts';
import { randomFloats } from '../random.ts';
import * as norm from '../../kernels/layer_norm/reference.ts';
import * as product from '../../kernels/linear/reference.ts';
import { free, ROUNDING, stored, sumError, upload, uploadWeights } from './tensors.ts';
import type { Linear } from '../../kernels/common/products.ts';

/** A state buffer whose rows are `rows`; unnamed fields are 0. */
export function stateOf(device: Device, rows: readonly Partial<RowState>[]): Tensor {
  const state = createState(device, 'test');
  rows.forEach((row, i) =>
    writeRow(device, state, i, {
      token: 0,
      position: 0,
      step: 0,
      done: false,
      seed: [0, 0],
      limit: 0,
      base: 0,
      ...row,
    }),
  );
  return state;
}

export interface HostLinear {
  readonly weight: Float32Array;
  readonly bias: Float32Array | null;
  readonly gain: Float32Array | null;
  readonly beta: Float32Array | null;
  readonly gpu: Linear;
}

/** A random layer (N, K) with what `parts` names, on the host and on the GPU. */
export async function randomLinear(
  device: Device,
  n: number,
  k: number,
  dtype: 'f16' | 'f32',
  parts: { bias?: boolean; norm?: boolean; beta?: boolean },
): Promise<HostLinear> {
  const weight = stored(randomFloats(n * k, 2), dtype);
  const bias = parts.bias ? randomFloats(n, 3, 4) : null;
  const gain = parts.norm || parts.beta ? randomFloats(k, 5).map((v) => 1 + 0.5 * v) : null;
  const beta = parts.beta ? randomFloats(k, 6) : null;
  const layer = {
    weight: await uploadWeights(weight, [n, k], dtype, 'layer'),
    bias: bias && (await upload(bias, [n])),
    norm: gain && { weight: await upload(gain, [k]), bias: beta && (await upload(beta, [k])) },
  };
  return { weight, bias, gain, beta, gpu: { ...layer, terms: await linearTerms(device, layer, 'test') } };
}

export const freeLinear = ({ gpu }: HostLinear): Promise<void> =>
  free(gpu.weight, gpu.bias, gpu.norm?.weight, gpu.norm?.bias, gpu.terms);

/**
 * W · norm(x) + bias in f64, and what f32 may miss of it. Folded, y = rstd·(Σ W·g·x − mean·Σ W·g) +
 * b: two sums that cancel where the mean is large, and a variance Σx²/K − mean² that loses (mean² +
 * variance)/variance of its digits, half of that in rstd. The kernel takes x less a pivot, the mean
 * of its first eight channels, so it is the mean and the x that are left that count.
 */
export function folded(
  x: Float32Array,
  { weight, bias, gain, beta }: HostLinear,
  m: number,
  eps = 1e-5,
): { values: Float64Array; allowed: Float64Array } {
  const k = x.length / m;
  const n = weight.length / k;
  if (!gain) {
    const { values, sizes } = product.linear(x, weight, bias, [m, n, k]);
    return { values, allowed: sizes.map((s) => sumError(k) * s) };
  }
  const { values } = product.linear(norm.layerNorm(x, gain, beta, m, eps), weight, bias, [m, n, k]);
  const rows = norm.moments(x, m, k);
  const allowed = values.map((_, at) => {
    const { mean, variance } = rows[Math.floor(at / n)]!;
    const rstd = 1 / Math.sqrt(variance + eps);
    const from = Math.floor(at / n) * k;
    const pivot = x.subarray(from, from + 8).reduce((a, v) => a + v, 0) / 8;
    const left = mean - pivot;
    const row = (at % n) * k;
    let [products, gains, constants, centred] = [0, 0, Math.abs(bias?.[at % n] ?? 0), 0];
    for (let c = 0; c < k; c++) {
      const w = weight[row + c]! * gain[c]!;
      const value = x[from + c]!;
      products += Math.abs(w * (value - pivot));
      gains += Math.abs(w);
      centred += w * (value - mean) * rstd;
      constants += Math.abs(weight[row + c]! * (beta?.[c] ?? 0));
    }
    const lost = 1 + (left * left + variance) / (variance + eps) / 2;
    return (
      sumError(k) * (rstd * (products + 2 * Math.abs(left) * gains) + constants + lost * Math.abs(centred)) +
      ROUNDING * Math.abs(values[at]!)
    );
  });
  return { values, allowed };
}
