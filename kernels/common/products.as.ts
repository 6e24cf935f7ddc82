// Products of activations with a matrix of weights W (N, K), one panel of 16 rows of W at a time
// (weights.as.ts): what `linear`, `qkv` and their decode forms share. Every sum adds its terms in
// the order of k, one after the other, whatever the number of rows or threads: a sentence gives the
// same bits alone and in a batch.

import { HALF_STEP, madd, sum4, zero } from './simd.as';
import { packRows, tilePacked } from './tile.as';
import { highHalves, lowHalves, PANEL, panelAt, panelStep, spreadPanel } from './weights.as';

// A thread's scratch memory holds, one after the other: a part of a panel, spread; the sums of a
// block of rows and a group of panels; a part of the block's rows, packed; rows that a decode step
// has made ready.

/**
 * Columns (k) that are taken at a time: of a panel they are spread to the L1 and L2 caches, and a
 * block of rows stays in the L2 cache, packed.
 */
const DEPTH = 768;
/** Most rows of a block: many, since each block spreads all panels anew. */
const BLOCK = 256;
/** Most panels whose sums wait for the other parts of k. */
const GROUP = 32;
/** Bytes from a row's first eight sums to its last eight: those of four rows lie between. */
const HALF: usize = 128;
const PANEL_SUMS: usize = BLOCK * 64;
const SUMS: usize = DEPTH * 64;
const PACKED: usize = SUMS + GROUP * PANEL_SUMS;
const ROWS: usize = PACKED + BLOCK * DEPTH * 4;

/** Rows of a block, of `rows`: as even as can be, in fours. */
// @ts-ignore: decorator
@inline export function blockOf(rows: i32): i32 {
  const blocks = (rows + BLOCK - 1) / BLOCK;
  return blocks ? ((rows + blocks - 1) / blocks + 3) & ~3 : BLOCK;
}

/** Panels of a group: one where k is taken whole, so that its sums are used while they are hot. */
// @ts-ignore: decorator
@inline export function groupOf(k: i32): i32 {
  return k <= DEPTH ? 1 : GROUP;
}

/** The address of the eight sums of panel g of a group, row m of a block, half 0 or 1 of the panel. */
// @ts-ignore: decorator
@inline export function sumOf(scratch: usize, g: i32, m: i32, half: i32): usize {
  const row = (<usize>(m >> 2) << 8) + <usize>half * HALF + (<usize>(m & 3) << 5);
  return scratch + SUMS + <usize>g * PANEL_SUMS + row;
}

/** Where a decode step makes its rows ready, one after the other. */
// @ts-ignore: decorator
@inline export function rowsAt(scratch: usize): usize {
  return scratch + ROWS;
}

/** Packs `count` columns of `rows` rows of x, which are `pitch` bytes apart, by fours. */
function packPart(x: usize, rows: i32, count: i32, pitch: usize, scratch: usize): void {
  const last = rows - 1;
  let to = scratch + PACKED;
  for (let m = 0; m < rows; m += 4, to += <usize>count << 4) {
    // Rows past the last one are the last one again; their sums are not used.
    const a0 = x + <usize>m * pitch, a1 = x + <usize>min(m + 1, last) * pitch;
    const a2 = x + <usize>min(m + 2, last) * pitch, a3 = x + <usize>min(m + 3, last) * pitch;
    packRows(a0, a1, a2, a3, count, to, 16);
  }
}

/**
 * Σ_k x[m, k] · W[n, k] of `rows` ≤ BLOCK rows of x (·, k) f32 and of the `panels` ≤ groupOf(k)
 * panels of W from row `first` on, to `sumOf`. `packed`: the call before was with the same rows.
 */
export function panelsTimesRows(
  x: usize, rows: i32, k: i32, w: usize, first: i32, panels: i32, f32s: u32, packed: bool, scratch: usize,
): void {
  const parts = (k + DEPTH - 1) / DEPTH;
  for (let part = 0; part < parts; part++) {
    const from = ((k * part) / parts) & ~7;
    const count = (part + 1 == parts ? k : ((k * (part + 1)) / parts) & ~7) - from;
    if (!packed || parts > 1) packPart(x + (<usize>from << 2), rows, count, <usize>k << 2, scratch);
    const second = scratch + (<usize>count << 5);
    for (let g = 0; g < panels; g++) {
      const panel = panelAt(w, first + g * PANEL, k, f32s);
      spreadPanel(panel + <usize>from * panelStep(f32s), count, f32s, scratch);
      let a = scratch + PACKED, c = sumOf(scratch, g, 0, 0);
      for (let m = 0; m < rows; m += 4) {
        tilePacked(a, scratch, count, c, part > 0);
        tilePacked(a, second, count, c + 128, part > 0);
        a += <usize>count << 4;
        c += 256;
      }
    }
  }
}

/** Stores a row's 16 sums, the second half of them HALF bytes behind the first, as `sumOf` has them. */
// @ts-ignore: decorator
@inline function storeSums(a0: v128, a1: v128, a2: v128, a3: v128, to: usize): void {
  v128.store(to, a0);
  v128.store(to, a1, 16);
  v128.store(to, a2, HALF);
  v128.store(to, a3, HALF + 16);
}

/**
 * The same for one row and one panel, x made ready by `normalise`, to the row's sums at `to`. One
 * walk straight through the panel: that is what a decode step spends its time on.
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
  storeSums(a0, a1, a2, a3, to);
}

/** The same for two rows at x and other. The weights of a k are unpacked once for both. */
export function panelTimesTwo(
  x: usize, other: usize, k: i32, panel: usize, f32s: u32, to: usize, otherTo: usize,
): void {
  let a0 = zero(), a1 = zero(), a2 = zero(), a3 = zero(), b0 = zero(), b1 = zero(), b2 = zero(), b3 = zero();
  const end = x + (<usize>k << 2);
  let w: v128;
  if (f32s) {
    for (; x < end; x += 4, other += 4, panel += 64) {
      const v = v128.load32_splat(x), u = v128.load32_splat(other);
      w = v128.load(panel); a0 = madd(w, v, a0); b0 = madd(w, u, b0);
      w = v128.load(panel, 16); a1 = madd(w, v, a1); b1 = madd(w, u, b1);
      w = v128.load(panel, 32); a2 = madd(w, v, a2); b2 = madd(w, u, b2);
      w = v128.load(panel, 48); a3 = madd(w, v, a3); b3 = madd(w, u, b3);
    }
  } else {
    for (; x < end; x += 4, other += 4, panel += 32) {
      const v = v128.load32_splat(x), u = v128.load32_splat(other);
      let words = v128.load(panel);
      w = lowHalves(words); a0 = madd(w, v, a0); b0 = madd(w, u, b0);
      w = highHalves(words); a1 = madd(w, v, a1); b1 = madd(w, u, b1);
      words = v128.load(panel, 16);
      w = lowHalves(words); a2 = madd(w, v, a2); b2 = madd(w, u, b2);
      w = highHalves(words); a3 = madd(w, v, a3); b3 = madd(w, u, b3);
    }
    const step = f32x4.splat(HALF_STEP);
    a0 = f32x4.mul(a0, step); a1 = f32x4.mul(a1, step); a2 = f32x4.mul(a2, step); a3 = f32x4.mul(a3, step);
    b0 = f32x4.mul(b0, step); b1 = f32x4.mul(b1, step); b2 = f32x4.mul(b2, step); b3 = f32x4.mul(b3, step);
  }
  storeSums(a0, a1, a2, a3, to);
  storeSums(b0, b1, b2, b3, otherTo);
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
