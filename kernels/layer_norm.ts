// LayerNorm over the last dimension of many rows; in a decode step it is folded into linearRow and qkvRow instead. torch: nn.LayerNorm.

import type { Recorder } from '../runtime/program.ts';
import { expectShape, type Tensor } from '../runtime/tensor.ts';
import { LAYER_NORM_EPS, type Norm } from './linear.ts';
import { shader } from './shaders.ts';

/** y (M, C) = LayerNorm(x (M, C)); of M rows the first `call.count` are computed. C is a multiple of 8. */
export function layerNorm(r: Recorder, y: Tensor, x: Tensor, norm: Norm, call: Tensor): void {
  const [m, c] = x.shape as [number, number];
  expectShape('layerNorm', 'y', y, [m, c]);
  expectShape('layerNorm', 'weight', norm.weight, [c]);
  if (norm.bias) expectShape('layerNorm', 'bias', norm.bias, [c]);
  r.dispatch(shader('layer_norm'), {
    bind: { p: [c, norm.bias ? 1 : 0, { f32: LAYER_NORM_EPS }], call, x, weight: norm.weight, bias: norm.bias ?? x, y },
    grid: [m],
  });
}
