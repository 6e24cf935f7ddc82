// Four lanes of f32 at a time, and halves in registers: what every kernel for processors uses.
// AssemblyScript (kernels/README.md says what that is and how it is built).

/**
 * a · b + c, lane by lane. With RELAXED (a constant of the build) it is one rounding and one
 * instruction where the processor has one; without it two roundings and two instructions.
 */
// @ts-ignore: decorator
@inline export function madd(a: v128, b: v128, c: v128): v128 {
  if (RELAXED) return f32x4.relaxed_madd(a, b, c);
  return f32x4.add(f32x4.mul(a, b), c);
}

// @ts-ignore: decorator
@inline export function zero(): v128 {
  return f32x4.splat(0);
}

/** The sum of the four lanes. */
// @ts-ignore: decorator
@inline export function sum4(v: v128): f32 {
  const pairs = f32x4.add(v, i8x16.shuffle(v, v, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7));
  return f32x4.extract_lane(pairs, 0) + f32x4.extract_lane(pairs, 1);
}

/** The largest of the four lanes. (pmax is one instruction where max, which cares for NaN, is six.) */
// @ts-ignore: decorator
@inline export function max4(v: v128): f32 {
  const pairs = f32x4.pmax(v, i8x16.shuffle(v, v, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7));
  return max(f32x4.extract_lane(pairs, 0), f32x4.extract_lane(pairs, 1));
}

/** Four rows of four as columns: at `to`, and `step` bytes further on each. */
// @ts-ignore: decorator
@inline export function transpose4(a: v128, b: v128, c: v128, d: v128, to: usize, step: usize): void {
  const low01 = i8x16.shuffle(a, b, 0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23);
  const low23 = i8x16.shuffle(c, d, 0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23);
  const high01 = i8x16.shuffle(a, b, 8, 9, 10, 11, 24, 25, 26, 27, 12, 13, 14, 15, 28, 29, 30, 31);
  const high23 = i8x16.shuffle(c, d, 8, 9, 10, 11, 24, 25, 26, 27, 12, 13, 14, 15, 28, 29, 30, 31);
  v128.store(to, i8x16.shuffle(low01, low23, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23));
  to += step;
  v128.store(to, i8x16.shuffle(low01, low23, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31));
  to += step;
  v128.store(to, i8x16.shuffle(high01, high23, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23));
  to += step;
  v128.store(to, i8x16.shuffle(high01, high23, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31));
}

// A half, as bits: sign, 5 of exponent (bias 15), 10 of mantissa. Shifted left by 13 its mantissa
// stands where a float's does, and its exponent reads 112 too low: the float is the half times
// 2^-112, exactly, for subnormals too. WebAssembly has no instruction that converts halves, and
// this takes three. Infinities and NaN are not kept: they become numbers of 65,536 and more.
// Factor 2^-112 is given back in two steps of 2^56 where activations are multiplied directly, so
// that neither they nor the products leave the range of f32.

/** 2^56 */
export const HALF_STEP: f32 = 72057594037927936.0;
/** 2^112 */
export const HALF_SCALE: f32 = 5192296858534827628530496329220096.0;

/** The first four of eight halves, times 2^-112. */
// @ts-ignore: decorator
@inline export function low4(halves: v128): v128 {
  return v128.and(i32x4.shl(i32x4.extend_low_i16x8_s(halves), 13), i32x4.splat(0x8fffe000));
}

/** The last four of eight halves, times 2^-112. */
// @ts-ignore: decorator
@inline export function high4(halves: v128): v128 {
  return v128.and(i32x4.shl(i32x4.extend_high_i16x8_s(halves), 13), i32x4.splat(0x8fffe000));
}

/** The half at `at`, as f32. */
// @ts-ignore: decorator
@inline export function loadHalf(at: usize): f32 {
  return reinterpret<f32>((<i32>load<i16>(at) << 13) & 0x8fffe000) * HALF_SCALE;
}

/**
 * Four f32 as halves in the low 16 bits of each lane: rounded to nearest even, subnormals kept,
 * infinity from 65,520 on, as torch's half().
 */
export function roundToHalves(v: v128): v128 {
  const sign = v128.and(i32x4.shr_u(v, 16), i32x4.splat(0x8000));
  const a = f32x4.abs(v);
  const odd = v128.and(i32x4.shr_u(a, 13), i32x4.splat(1));
  const normal = i32x4.shr_u(i32x4.add(i32x4.add(i32x4.sub(a, i32x4.splat(0x38000000)), i32x4.splat(0xfff)), odd), 13);
  // Adding ½ lets the processor round to multiples of 2^-24, the unit of subnormal halves.
  const subnormal = i32x4.sub(f32x4.add(a, f32x4.splat(0.5)), i32x4.splat(0x3f000000));
  let h = v128.bitselect(subnormal, normal, i32x4.lt_s(a, i32x4.splat(0x38800000)));
  h = v128.bitselect(i32x4.splat(0x7c00), h, i32x4.ge_s(a, i32x4.splat(0x477ff000)));
  h = v128.bitselect(i32x4.splat(0x7e00), h, i32x4.gt_s(a, i32x4.splat(0x7f800000))); // NaN
  return v128.or(sign, h);
}

/** The same, but what is beyond ±65504 becomes ±65504: a cache must hold no infinity. */
export function toHalves(v: v128): v128 {
  return roundToHalves(f32x4.max(f32x4.min(v, f32x4.splat(65504)), f32x4.splat(-65504)));
}
