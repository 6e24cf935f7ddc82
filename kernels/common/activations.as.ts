// Activations in four lanes of f32, made of exp (math.as.ts).

import { exp4 } from './math.as';
import { zero } from './simd.as';

/**
 * ELU with alpha 1: x where x > 0, else exp(x) − 1. For small negative x that is off by half an ulp
 * of 1, far below what audio carries. torch: nn.ELU.
 */
// @ts-ignore: decorator
@inline export function elu4(x: v128): v128 {
  const below = f32x4.sub(exp4(f32x4.min(x, zero())), f32x4.splat(1));
  return v128.bitselect(x, below, f32x4.gt(x, zero()));
}

/** 1 / (1 + exp(−x)); the bound keeps exp finite. */
// @ts-ignore: decorator
@inline export function sigmoid4(x: v128): v128 {
  const one = f32x4.splat(1);
  return f32x4.div(one, f32x4.add(one, exp4(f32x4.neg(f32x4.max(x, f32x4.splat(-80))))));
}

/** tanh, off by at most a few units of 2^-24. */
// @ts-ignore: decorator
@inline export function tanh4(x: v128): v128 {
  const one = f32x4.splat(1), two = f32x4.splat(2);
  return f32x4.sub(one, f32x4.div(two, f32x4.add(one, exp4(f32x4.mul(two, f32x4.min(x, f32x4.splat(40)))))));
}
