// y = act(norm(x) · Wᵀ + bias): torch nn.Linear with bias, GELU and residual as epilogues, so that
// none of them is a kernel of its own. `linear` serves many rows (prefill, fine model) as a tiled
// product of rows that are normalised already; `linearDecode` the one row a sentence of a decode
// step, with LayerNorm folded into the walk over the weights (common/gemv.wgsl has the identity).

import { ShapeError } from '../../runtime/base/errors.ts';
import type { Recorder } from '../../runtime/compute/program.ts';
import { expectShape, type Tensor } from '../../runtime/compute/tensor.ts';
import { shader } from '../shaders.ts';
import type { Linear, GemmOptions, GemvOptions } from '../common/products.ts';
import { gemmVariant, gemvVariant, matrixShape } from '../common/products.ts';

/**
 * y (M, N) = x (M, K) · Wᵀ; of M rows the first `call.count` are computed. `residual`: y +=
 * instead.
 */
export function linear(
  r: Recorder,
  y: Tensor,
  x: Tensor,
  w: Pick<Linear, 'weight' | 'bias'>,
  call: Tensor,
  options: { gelu?: boolean; residual?: boolean } & GemmOptions = {},
): void {
  const [n, k] = matrixShape('linear', w);
  const m = x.shape[0]!;
  expectShape('linear', 'x', x, [m, k]);
  expectShape('linear', 'y', y, [m, n]);
  const variant = gemmVariant(r, 'linear', w.weight, m, options);
  r.dispatch(variant.shader, {
    overrides: variant.overrides,
    bind: {
      sizes: [k, n, w.bias ? 1 : 0, options.gelu ? 1 : 0, options.residual ? 1 : 0],
      call,
      x,
      w: w.weight,
      bias: w.bias ?? x,
      y,
    },
    grid: [Math.ceil(n / variant.columns), Math.ceil(m / variant.rows)],
  });
}

/**
 * Which rows of the matrix a step computes: `count` rows from `even` on in even steps, from `odd`
 * on in odd ones.
 */
export interface RowWindow {
  readonly even: number;
  readonly odd: number;
  readonly count: number;
}

/**
 * y (B, N) = W · norm(x) + bias for x (B, K). With `window` y is (B, window.count). `residual`: y
 * += instead.
 */
export function linearDecode(
  r: Recorder,
  y: Tensor,
  x: Tensor,
  w: Linear,
  state: Tensor,
  options: { gelu?: boolean; residual?: boolean; window?: RowWindow } & GemvOptions = {},
): void {
  const [n, k] = matrixShape('linearDecode', w);
  const batch = x.shape[0]!;
  const { even, odd, count } = options.window ?? { even: 0, odd: 0, count: n };
  if (Math.max(even, odd) + 1 > n)
    throw new ShapeError(`linearDecode: the window starts at row ${Math.max(even, odd)}, expected one of ${n}.`);
  expectShape('linearDecode', 'x', x, [batch, k]);
  expectShape('linearDecode', 'y', y, [batch, count]);
  const variant = gemvVariant(r, 'linear_decode', w, batch, count, options);
  r.dispatch(shader(variant.name), {
    overrides: variant.overrides,
    bind: {
      sizes: [k, n, count, even, odd, w.terms ? 1 : 0, options.gelu ? 1 : 0, options.residual ? 1 : 0, batch],
      state,
      x,
      w: w.weight,
      gain: w.norm?.weight ?? x,
      terms: w.terms ?? x,
      y,
    },
    grid: [Math.ceil(count / variant.rows), Math.ceil(batch / variant.tile)],
  });
}
