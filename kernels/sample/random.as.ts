// Counter-based random numbers in four lanes: Threefry-2x32 with 20 rounds (Salmon et al. 2011),
// bit for bit what random.wgsl and random.ts compute, and Gumbel numbers made from them.

import { log4 } from '../common/math.as';

// @ts-ignore: decorator
@inline function rotate(x: v128, n: i32): v128 {
  return v128.or(i32x4.shl(x, n), i32x4.shr_u(x, 32 - n));
}

/** First words for (key, counter) of the counters (step, i) … (step, i + 3). */
export function threefry4(key0: u32, key1: u32, step: u32, i: u32): v128 {
  const key2: u32 = 0x1bd11bda ^ key0 ^ key1;
  let x = i32x4.splat(step + key0);
  let y = i32x4.add(i32x4.add(i32x4.splat(i), i32x4(0, 1, 2, 3)), i32x4.splat(key1));
  for (let turn: u32 = 0; turn < 5; turn++) {
    if (turn & 1) {
      x = i32x4.add(x, y); y = v128.xor(rotate(y, 17), x);
      x = i32x4.add(x, y); y = v128.xor(rotate(y, 29), x);
      x = i32x4.add(x, y); y = v128.xor(rotate(y, 16), x);
      x = i32x4.add(x, y); y = v128.xor(rotate(y, 24), x);
    } else {
      x = i32x4.add(x, y); y = v128.xor(rotate(y, 13), x);
      x = i32x4.add(x, y); y = v128.xor(rotate(y, 15), x);
      x = i32x4.add(x, y); y = v128.xor(rotate(y, 26), x);
      x = i32x4.add(x, y); y = v128.xor(rotate(y, 6), x);
    }
    // the key's three words take turns, the second of a pair with the number of the turn added
    const a = (turn + 1) % 3, b = (turn + 2) % 3;
    x = i32x4.add(x, i32x4.splat(a == 0 ? key0 : a == 1 ? key1 : key2));
    y = i32x4.add(y, i32x4.splat((b == 0 ? key0 : b == 1 ? key1 : key2) + turn + 1));
  }
  return x;
}

/**
 * Standard Gumbel numbers −log(−log(1 − v)), v = (bits + ½) / 2³². Small v give the large numbers
 * that decide a draw, and there a series is exact where 1 − v would have lost v's digits. Off by
 * 1e-6, or 1e-6 of the number where that is more.
 */
export function gumbel4(bits: v128): v128 {
  const unit = f32x4.splat(2.3283064365386963e-10), half = f32x4.splat(0.5);
  const v = f32x4.mul(f32x4.add(f32x4.convert_i32x4_u(bits), half), unit);
  const z = f32x4.div(v, f32x4.sub(f32x4.splat(2), v));
  const zz = f32x4.mul(z, z);
  let series = f32x4.add(f32x4.mul(zz, f32x4.splat(0.14285715)), f32x4.splat(0.2));
  series = f32x4.add(f32x4.mul(zz, series), f32x4.splat(0.33333334));
  series = f32x4.add(f32x4.mul(zz, series), f32x4.splat(1));
  const small = f32x4.mul(f32x4.mul(f32x4.splat(2), z), series); // 2 artanh(z) = −log(1 − v)
  const large = f32x4.neg(log4(f32x4.mul(f32x4.add(f32x4.convert_i32x4_u(v128.not(bits)), half), unit)));
  return f32x4.neg(log4(v128.bitselect(small, large, f32x4.lt(v, f32x4.splat(0.25)))));
}

/** No Gumbel number is larger: that of the bits 0 is 22.9. */
export const MOST_NOISE: f32 = 23;

/**
 * Numbers that `gumbel4(bits)` does not exceed, without a logarithm: −log(−log(1 − v)) ≤ −log(v), and
 * log2 of a float is at least its bits as an integer, divided by 2^23, less 127 (log2(1 + m) ≥ m).
 * They are at most 0.07 above −log(v), 0.001 of it for roundings; more for the least of bits.
 */
export function gumbelBound4(bits: v128): v128 {
  const half = f32x4.convert_i32x4_s(i32x4.shr_u(bits, 1)); // v · 2^31, or less
  const log2 = f32x4.mul(f32x4.convert_i32x4_s(half), f32x4.splat(8.262958294867817e-8)); // + 127, times ln 2
  return f32x4.sub(f32x4.splat(109.51825), log2);
}
