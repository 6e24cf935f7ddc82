// exp, log and GELU in four lanes of f32. Errors are in units of the last place (ulp) of the
// result, measured against f64 (test/kernels/common/math.test.ts). exp and GELU of NaN are NaN.
// pmin and pmax are one instruction each; min and max, which also tell −0 from 0, are several.

import { madd } from './simd.as';

/** 1.5 · 2^23: a float of that size has no digits behind the point, so adding it rounds. */
export const ROUND: f32 = 12582912;

/** v / ln 2 rounded to a whole number n, plus ROUND: its last bits are n. */
// @ts-ignore: decorator
@inline export function powerOf(v: v128): v128 {
  return madd(v, f32x4.splat(1.44269504088896341), f32x4.splat(ROUND));
}

/** v − n · ln 2, whose size is at most ln 2 / 2; ln 2 in two parts, the first with few digits. */
// @ts-ignore: decorator
@inline export function remainder(v: v128, n: v128): v128 {
  return madd(n, f32x4.splat(2.12194440e-4), madd(n, f32x4.splat(-0.693359375), v));
}

/** (e^r − 1 − r) / r² for |r| ≤ ln 2 / 2 (Cephes expf). */
// @ts-ignore: decorator
@inline export function expTail(r: v128): v128 {
  let p = madd(f32x4.splat(1.9875691500e-4), r, f32x4.splat(1.3981999507e-3));
  p = madd(p, r, f32x4.splat(8.3334519073e-3));
  p = madd(p, r, f32x4.splat(4.1665795894e-2));
  p = madd(p, r, f32x4.splat(1.6666665459e-1));
  return madd(p, r, f32x4.splat(5.0000001201e-1));
}

/**
 * e^x to 1 ulp (Cephes expf): x = n · ln 2 + r with |r| ≤ ln 2 / 2, and a polynomial for e^r.
 * Infinity above 88.72283, where f32 ends. Results below 2^-125.5, x < −86.99, are 0.
 */
export function exp4(x: v128): v128 {
  const v = f32x4.pmax(f32x4.pmin(x, f32x4.splat(89)), f32x4.splat(-87));
  const rounded = powerOf(v);
  const r = remainder(v, f32x4.sub(rounded, f32x4.splat(ROUND)));
  // 2 e^r, times 2^(n − 1): so n = 128 overflows only where e^x does. For n = −126 the power is 0.
  const twice = f32x4.add(r, r);
  const p = f32x4.add(madd(expTail(r), f32x4.mul(r, twice), twice), f32x4.splat(2));
  const power = i32x4.add(i32x4.shl(rounded, 23), i32x4.splat(126 << 23));
  return f32x4.mul(p, power);
}

/**
 * x · Φ(x), as gelu.wgsl has it: max(x, 0) − ½ · |x| · erfc(|x| / √2). Off by 1e-8 · |x|, which is
 * the formula's own error, by 10 · 2^-24 of what it subtracts, and by the rounding of the result.
 */
export function gelu4(x: v128): v128 {
  const a = f32x4.pmin(f32x4.abs(x), f32x4.splat(20)); // erfc is 0 from there on; infinity · 0 is not
  const z = f32x4.mul(a, f32x4.splat(0.7071067811865476));
  const t = f32x4.div(f32x4.splat(1), madd(z, f32x4.splat(0.5487), f32x4.splat(1)));
  let p = madd(t, f32x4.splat(0.106752887), f32x4.splat(-0.518319905));
  p = madd(t, p, f32x4.splat(0.766070664));
  p = madd(t, p, f32x4.splat(-0.0471547693));
  p = madd(t, p, f32x4.splat(0.392074645));
  p = madd(t, p, f32x4.splat(0.300576478));
  p = f32x4.mul(p, t);
  const e = exp4(f32x4.neg(f32x4.mul(z, z)));
  return f32x4.sub(f32x4.pmax(x, f32x4.splat(0)), f32x4.mul(f32x4.mul(f32x4.splat(0.5), a), f32x4.mul(p, e)));
}

/**
 * The natural logarithm of positive finite numbers, subnormal ones too, to 1 ulp (Cephes logf).
 * What it gives for others means nothing.
 */
export function log4(x: v128): v128 {
  const subnormal = f32x4.lt(x, f32x4.splat(1.1754943508222875e-38));
  const y = v128.bitselect(f32x4.mul(x, f32x4.splat(8388608)), x, subnormal); // · 2^23
  const bias = i32x4.add(i32x4.splat(126), v128.and(subnormal, i32x4.splat(23)));
  let e = f32x4.convert_i32x4_s(i32x4.sub(i32x4.shr_u(y, 23), bias));
  let m = v128.or(v128.and(y, i32x4.splat(0x007fffff)), i32x4.splat(0x3f000000)); // ½ … 1
  const small = f32x4.lt(m, f32x4.splat(0.707106781186547524));
  e = f32x4.sub(e, v128.and(small, f32x4.splat(1)));
  m = f32x4.add(f32x4.sub(m, f32x4.splat(1)), v128.and(small, m)); // around 0
  const z = f32x4.mul(m, m);
  let p = f32x4.splat(7.0376836292e-2);
  p = madd(p, m, f32x4.splat(-1.1514610310e-1));
  p = madd(p, m, f32x4.splat(1.1676998740e-1));
  p = madd(p, m, f32x4.splat(-1.2420140846e-1));
  p = madd(p, m, f32x4.splat(1.4249322787e-1));
  p = madd(p, m, f32x4.splat(-1.6668057665e-1));
  p = madd(p, m, f32x4.splat(2.0000714765e-1));
  p = madd(p, m, f32x4.splat(-2.4999993993e-1));
  p = madd(p, m, f32x4.splat(3.3333331174e-1));
  p = f32x4.mul(f32x4.mul(p, m), z);
  p = madd(e, f32x4.splat(-2.12194440e-4), p);
  p = madd(z, f32x4.splat(-0.5), p);
  return madd(e, f32x4.splat(0.693359375), f32x4.add(m, p));
}
