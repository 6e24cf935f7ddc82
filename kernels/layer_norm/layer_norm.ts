// LayerNorm over the last dimension of many rows. Decode steps do not use it: there linearDecode
// and qkvDecode have it folded in. torch: nn.LayerNorm.

import type { Recorder } from '../../runtime/compute/program.ts';
import { expectShape, type Tensor } from '../../runtime/compute/tensor.ts';
import { subgroupLanes } from '../common/choices.ts';
import { shader } from '../shaders.ts';
import { LAYER_NORM_EPS, type Norm } from '../common/products.ts';

/**
 * y (M, C) = LayerNorm(x (M, C)), f32, C a multiple of 8. The first `call.count` of the M rows are
 * computed. Throws ShapeError where the tensors do not fit.
 */
export function layerNorm(r: Recorder, y: Tensor, x: Tensor, norm: Norm, call: Tensor): void {
  const [m, c] = x.shape as [number, number];
  expectShape('layerNorm', 'y', y, [m, c]);
  expectShape('layerNorm', 'weight', norm.weight, [c]);
  if (norm.bias) expectShape('layerNorm', 'bias', norm.bias, [c]);
  const { subgroups, subgroupMaxSize } = r.device.capabilities;
  const threads = Math.max(64, subgroupMaxSize);
  const rows = subgroups ? threads / subgroupLanes(r.device) : 1; // of one workgroup
  r.dispatch(shader(subgroups ? 'layer_norm_subgroup' : 'layer_norm'), {
    overrides: { WG: threads, ...(subgroups && { ROWS: rows }) },
    bind: { p: [c, norm.bias ? 1 : 0, { f32: LAYER_NORM_EPS }], call, x, weight: norm.weight, bias: norm.bias ?? x, y },
    grid: [Math.ceil(m / rows)],
  });
}
