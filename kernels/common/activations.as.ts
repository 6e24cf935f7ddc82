// Activations in four lanes of f32; their errors are tested in test/kernels/common/math.test.ts.

import { exp4, expTail, powerOf, remainder, ROUND } from './math.as';
import { madd, zero } from './simd.as';

/**
 * ELU with alpha 1: x where x > 0, else e^x − 1, to 1 ulp and so near 0, too. torch: nn.ELU.
 * With x = n · ln 2 + r, e^x − 1 is 2^n · (e^r − 1) + (2^n − 1), of which the last is exact, and a
 * polynomial is e^r − 1 itself (Cephes expf). Below −25 the result is −1.
 */
export function elu4(x: v128): v128 {
  const below = f32x4.pmax(f32x4.pmin(x, zero()), f32x4.splat(-25)); // 0 where x > 0
  const rounded = powerOf(below);
  const r = remainder(below, f32x4.sub(rounded, f32x4.splat(ROUND)));
  const p = madd(expTail(r), f32x4.mul(r, r), r);
  const one = f32x4.splat(1);
  const power = i32x4.add(i32x4.shl(rounded, 23), one);
  return f32x4.add(f32x4.pmax(x, zero()), madd(power, p, f32x4.sub(power, one)));
}

/** 1 / (1 + exp(−x)) to 3 ulp; below −88.7, where that is no normal number, 0. */
// @ts-ignore: decorator
@inline export function sigmoid4(x: v128): v128 {
  const one = f32x4.splat(1);
  return f32x4.div(one, f32x4.add(one, exp4(f32x4.neg(x))));
}

/** tanh, off by at most 4 · 2^-24. */
// @ts-ignore: decorator
@inline export function tanh4(x: v128): v128 {
  const one = f32x4.splat(1), two = f32x4.splat(2);
  return f32x4.sub(one, f32x4.div(two, f32x4.add(one, exp4(f32x4.mul(two, x)))));
}
