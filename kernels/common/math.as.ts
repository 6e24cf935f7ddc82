// exp, in four lanes of f32. Errors are in units of the last place (ulp) of the result.

import { madd } from './simd.as';

/**
 * e^x to 1 ulp (Cephes expf): x = n · ln 2 + r with |r| ≤ ln 2 / 2, and a polynomial for e^r. Below
 * −87.3 it is 0, above 88.7 it is the largest power that is finite.
 */
export function exp4(x: v128): v128 {
  const v = f32x4.max(f32x4.min(x, f32x4.splat(88.3762626647949)), f32x4.splat(-87.3365478515625));
  const n = f32x4.nearest(f32x4.mul(v, f32x4.splat(1.44269504088896341)));
  let r = madd(n, f32x4.splat(-0.693359375), v);
  r = madd(n, f32x4.splat(2.12194440e-4), r);
  let p = f32x4.splat(1.9875691500e-4);
  p = madd(p, r, f32x4.splat(1.3981999507e-3));
  p = madd(p, r, f32x4.splat(8.3334519073e-3));
  p = madd(p, r, f32x4.splat(4.1665795894e-2));
  p = madd(p, r, f32x4.splat(1.6666665459e-1));
  p = madd(p, r, f32x4.splat(5.0000001201e-1));
  p = f32x4.add(madd(p, f32x4.mul(r, r), r), f32x4.splat(1));
  const power = i32x4.shl(i32x4.add(i32x4.trunc_sat_f32x4_s(n), i32x4.splat(127)), 23);
  return v128.and(f32x4.mul(p, power), f32x4.ge(x, f32x4.splat(-87.3365478515625)));
}

export function gelu4(v: v128): v128 {
  const a = f32x4.abs(v);
  const z = f32x4.mul(a, f32x4.splat(0.7071067811865476));
  const t = f32x4.div(f32x4.splat(1), madd(z, f32x4.splat(0.5487), f32x4.splat(1)));
  let p = madd(t, f32x4.splat(0.106752887), f32x4.splat(-0.518319905));
  p = madd(t, p, f32x4.splat(0.766070664));
  p = madd(t, p, f32x4.splat(-0.0471547693));
  p = madd(t, p, f32x4.splat(0.392074645));
  p = madd(t, p, f32x4.splat(0.300576478));
  p = f32x4.mul(p, t);
  const e = exp4(f32x4.neg(f32x4.mul(z, z)));
  return f32x4.sub(f32x4.max(v, f32x4.splat(0)), f32x4.mul(f32x4.mul(f32x4.splat(0.5), a), f32x4.mul(p, e)));
}

/** The natural logarithm of positive normal numbers (Cephes logf). */
export function log4(x: v128): v128 {
  let e = f32x4.convert_i32x4_s(i32x4.sub(i32x4.shr_u(x, 23), i32x4.splat(126)));
  let m = v128.or(v128.and(x, i32x4.splat(0x007fffff)), i32x4.splat(0x3f000000)); // ½ … 1
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
