// y = act(norm(x) · Wᵀ + bias): torch nn.Linear, with bias, GELU and the residual sum as epilogues
// instead of kernels of their own. `linear` serves many rows (prefill, fine model) as a tiled GEMM
// over rows that are normalised already. `linearDecode` serves decode steps, one row for each
// sentence, as a GEMV with the LayerNorm folded in (common/gemv.wgsl has the identity).

import { ShapeError } from '../../runtime/base/errors.ts';
import type { Recorder } from '../../runtime/compute/program.ts';
import { expectShape, type Tensor } from '../../runtime/compute/tensor.ts';
import {
  gemmVariant,
  gemvVariant,
  matrixShape,
  type GemmOptions,
  type GemvOptions,
  type Linear,
} from '../common/products.ts';
import { shader } from '../shaders.ts';

/**
 * y (M, N) = x (M, K) · Wᵀ + bias, f32; the first `call.count` of the M rows are computed. `gelu`
 * applies GELU to the product, `residual` adds the result to y instead of overwriting it. Throws
 * ShapeError where the tensors do not fit.
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
  const sizes = [k, n, w.bias ? 1 : 0, options.gelu ? 1 : 0, options.residual ? 1 : 0];
  r.dispatch(variant.shader, {
    overrides: variant.overrides,
    bind: { sizes, call, x, w: w.weight, bias: w.bias ?? x, y },
    grid: [Math.ceil(n / variant.columns), Math.ceil(m / variant.rows)],
  });
}

/**
 * The rows of the matrix that a decode step computes: `count` rows, starting at `even` in even
 * steps and at `odd` in odd steps.
 */
export interface RowWindow {
  readonly even: number;
  readonly odd: number;
  readonly count: number;
}

/**
 * y (B, N) = W · norm(x) + bias, f32, for x (B, K), one row for each sentence; rows of sentences
 * that are done stay as they are. With `window`, y is (B, window.count). `gelu` and `residual` as
 * in `linear`. Throws ShapeError where the tensors do not fit.
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
  const sizes = [k, n, count, even, odd, w.terms ? 1 : 0, options.gelu ? 1 : 0, options.residual ? 1 : 0, batch];
  r.dispatch(shader(variant.name), {
    overrides: variant.overrides,
    bind: { sizes, state, x, w: w.weight, gain: w.norm?.weight ?? x, terms: w.terms ?? x, y },
    grid: [Math.ceil(count / variant.rows), Math.ceil(batch / variant.tile)],
  });
}
