// How a processor's kernels see a matrix of weights W (N, K), f16 or f32: in panels of 16 rows.
// A panel holds its rows side by side, [k][16], so that one walk through memory, straight on, feeds
// 16 sums from one x[k]: one stream is read at twice the speed of two. The last panel is padded.
//
// Of an f16 panel each k is 32 bytes: eight words. Word i of the first four holds row i in its low
// and row i + 4 in its high half, word i of the last four rows i + 8 and i + 12. So four words
// become eight floats by shifts alone; halves in their natural order would have to be spread first.
// An f32 panel holds the 16 rows of a k in their order.
// kernels/upload/cast.as.ts writes panels.

import { HALF_SCALE } from './simd.as';

/** Rows of a panel. */
export const PANEL = 16;

/** Bytes of one k of a panel. */
// @ts-ignore: decorator
@inline export function panelStep(f32s: u32): usize {
  return f32s ? 64 : 32;
}

/** The address of the panel with row n, which is its first row. */
// @ts-ignore: decorator
@inline export function panelAt(w: usize, n: i32, k: i32, f32s: u32): usize {
  return w + <usize>(n / PANEL) * <usize>k * panelStep(f32s);
}

/** Where row `row` of a panel stands among the 16 halves of a k. */
// @ts-ignore: decorator
@inline export function placeOfHalf(row: i32): i32 {
  return (row & 8) + ((row & 3) << 1) + ((row >> 2) & 1);
}

/** Rows i of four words of halves: the low halves of the words, times 2^-112. */
// @ts-ignore: decorator
@inline export function lowHalves(words: v128): v128 {
  return v128.and(i32x4.shr_s(i32x4.shl(words, 16), 3), i32x4.splat(0x8fffe000));
}

/** Rows i + 4: the high halves of the words, times 2^-112. */
// @ts-ignore: decorator
@inline export function highHalves(words: v128): v128 {
  return v128.and(i32x4.shr_s(words, 3), i32x4.splat(0x8fffe000));
}

/**
 * Spreads `count` k of a panel, from address `from` on, to two panels of eight f32 as `tilePacked`
 * reads them: rows 0 … 7 at `to`, rows 8 … 15 at `to` + 32 · count bytes.
 */
export function spreadPanel(from: usize, count: i32, f32s: u32, to: usize): void {
  let second = to + (<usize>count << 5);
  if (f32s) {
    for (let i = 0; i < count; i++) {
      v128.store(to, v128.load(from));
      v128.store(to, v128.load(from, 16), 16);
      v128.store(second, v128.load(from, 32));
      v128.store(second, v128.load(from, 48), 16);
      from += 64;
      to += 32;
      second += 32;
    }
    return;
  }
  const scale = f32x4.splat(HALF_SCALE);
  for (let i = 0; i < count; i++) {
    const first = v128.load(from), last = v128.load(from, 16);
    v128.store(to, f32x4.mul(lowHalves(first), scale));
    v128.store(to, f32x4.mul(highHalves(first), scale), 16);
    v128.store(second, f32x4.mul(lowHalves(last), scale));
    v128.store(second, f32x4.mul(highHalves(last), scale), 16);
    from += 32;
    to += 32;
    second += 32;
  }
}
