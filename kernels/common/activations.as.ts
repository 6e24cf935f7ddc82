// Activations in four lanes of f32, made of exp (math.as.ts).

import { exp4 } from './math.as';
import { zero } from './simd.as';

/**
 * ELU with alpha 1: x where x > 0, else exp(x) − 1. For small negative x that is off by half an ulp
 * of 1, far below what audio carries. torch: nn.ELU.
 */
// @ts-ignore: decorator
@inline export function elu4(x: v128): v128 {
  const below = f32x4.sub(exp4(f32x4.pmin(x, zero())), f32x4.splat(1));
  return v128.bitselect(x, below, f32x4.gt(x, zero()));
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
