// Products of activations with a matrix of weights W (N, K), one panel of 16 rows of W at a time
// (weights.as.ts): what `linear`, `qkv` and their decode forms share. Every sum adds its terms in
// the order of k, one after the other, whatever the number of rows or threads: a sentence gives the
// same bits alone and in a batch.

import { HALF_STEP, madd, sum4, zero } from './simd.as';
import { highHalves, lowHalves, panelStep, spreadPanel } from './weights.as';
import { tile } from './tile.as';

/** Columns (k) of a panel that are spread at a time: two panels of f32 that stay in the L1 and L2 caches. */
const DEPTH = 768;
/** Rows of x in a block: their sums stay in the L2 cache. */
export const BLOCK = 1024;

/** Bytes of `scratch` that `panelTimesRows` spreads a panel to; the sums follow. */
// @ts-ignore: decorator
@inline export function sumsAt(scratch: usize): usize {
  return scratch + DEPTH * 64;
}

/** The address of the eight sums of row m of a block and of half 0 or 1 of the panel. */
// @ts-ignore: decorator
@inline export function sumOf(scratch: usize, m: i32, half: i32): usize {
  return sumsAt(scratch) + (<usize>(m >> 2) << 8) + (<usize>half << 7) + (<usize>(m & 3) << 5);
}

/**
 * Σ_k x[m, k] · W[n, k] for `rows` ≤ BLOCK rows of x (·, K) f32 and the 16 rows of a panel, to
 * `sumOf`.
 */
export function panelTimesRows(x: usize, rows: i32, k: i32, panel: usize, f32s: u32, scratch: usize): void {
  const parts = (k + DEPTH - 1) / DEPTH;
  const pitch = <usize>k << 2;
  for (let part = 0; part < parts; part++) {
    const from = ((k * part) / parts) & ~7;
    const count = (part + 1 == parts ? k : ((k * (part + 1)) / parts) & ~7) - from;
    spreadPanel(panel + <usize>from * panelStep(f32s), count, f32s, scratch);
    const second = scratch + (<usize>count << 5);
    const columns = x + (<usize>from << 2);
    for (let m = 0; m < rows; m += 4) {
      // Rows past the last one read it again; their sums are not used.
      const last = rows - 1;
      const a0 = columns + <usize>m * pitch;
      const a1 = columns + <usize>min(m + 1, last) * pitch;
      const a2 = columns + <usize>min(m + 2, last) * pitch;
      const a3 = columns + <usize>min(m + 3, last) * pitch;
      const c = sumOf(scratch, m, 0);
      tile(a0, a1, a2, a3, scratch, count, c, part > 0);
      tile(a0, a1, a2, a3, second, count, c + 128, part > 0);
    }
  }
}

/**
 * The same for one row, whose x was made ready by `normalise`, to the 16 sums at `to`. One walk
 * straight through the panel: that is what a decode step spends its time on.
 */
export function panelTimesVector(x: usize, k: i32, panel: usize, f32s: u32, to: usize): void {
  let a0 = zero(), a1 = zero(), a2 = zero(), a3 = zero();
  const end = x + (<usize>k << 2);
  if (f32s) {
    for (; x < end; x += 4, panel += 64) {
      const v = v128.load32_splat(x);
      a0 = madd(v128.load(panel), v, a0);
      a1 = madd(v128.load(panel, 16), v, a1);
      a2 = madd(v128.load(panel, 32), v, a2);
      a3 = madd(v128.load(panel, 48), v, a3);
    }
  } else {
    for (; x < end; x += 8, panel += 64) {
      let v = v128.load32_splat(x), first = v128.load(panel), last = v128.load(panel, 16);
      a0 = madd(lowHalves(first), v, a0);
      a1 = madd(highHalves(first), v, a1);
      a2 = madd(lowHalves(last), v, a2);
      a3 = madd(highHalves(last), v, a3);
      v = v128.load32_splat(x, 4); first = v128.load(panel, 32); last = v128.load(panel, 48);
      a0 = madd(lowHalves(first), v, a0);
      a1 = madd(highHalves(first), v, a1);
      a2 = madd(lowHalves(last), v, a2);
      a3 = madd(highHalves(last), v, a3);
    }
    const step = f32x4.splat(HALF_STEP);
    a0 = f32x4.mul(a0, step); a1 = f32x4.mul(a1, step); a2 = f32x4.mul(a2, step); a3 = f32x4.mul(a3, step);
  }
  v128.store(to, a0);
  v128.store(to, a1, 16);
  v128.store(to, a2, 32);
  v128.store(to, a3, 48);
}

/**
 * Writes a row of x (k) times `scale` to `to`; with `norm` as (x − mean) / √(variance + eps) · gain.
 * LayerNorm's shift is part of what is added to the product (`Linear.terms`). Works on x less its
 * first value, so that a mean of many standard deviations cancels before anything is summed.
 */
export function normalise(x: usize, k: i32, norm: u32, gain: usize, eps: f32, scale: f32, to: usize): void {
  const bytes = <usize>k << 2;
  if (!norm) {
    const factors = f32x4.splat(scale);
    for (let i: usize = 0; i < bytes; i += 16) v128.store(to + i, f32x4.mul(v128.load(x + i), factors));
    return;
  }
  const pivot = v128.load32_splat(x);
  let sum = zero(), squares = zero();
  for (let i: usize = 0; i < bytes; i += 16) sum = f32x4.add(sum, f32x4.sub(v128.load(x + i), pivot));
  const mean = f32x4.splat(sum4(sum) / <f32>k);
  for (let i: usize = 0; i < bytes; i += 16) {
    const d = f32x4.sub(f32x4.sub(v128.load(x + i), pivot), mean);
    squares = madd(d, d, squares);
  }
  const factor = f32x4.splat(scale / sqrt(sum4(squares) / <f32>k + eps));
  for (let i: usize = 0; i < bytes; i += 16) {
    const d = f32x4.sub(f32x4.sub(v128.load(x + i), pivot), mean);
    v128.store(to + i, f32x4.mul(f32x4.mul(d, factor), v128.load(gain + i)));
  }
}
