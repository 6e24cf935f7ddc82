// A dispatch that counts itself: what the check of a device's dispatches is made of
// (kernels/self_check.ts).

import type { Recorder } from '../../runtime/compute/program.ts';
import { expectDType, expectShape, type Tensor } from '../../runtime/compute/tensor.ts';
import { shader } from '../shaders.ts';

/** y = y + 1, of y (1) u32. Throws ShapeError for another tensor. */
export function count(r: Recorder, y: Tensor): void {
  expectDType('count', 'y', y, 'u32');
  expectShape('count', 'y', y, [1]);
  r.dispatch(shader('count'), { bind: { y }, grid: [1] });
}
