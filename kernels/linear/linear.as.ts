// y = act(x · Wᵀ + bias), or y += …, for many rows (linear) and for one row of each sentence, with
// the LayerNorm in front (linear_decode).
// torch: nn.Linear, nn.LayerNorm, nn.GELU.
// Shapes: x (M, K), W (N, K) in panels of 16 rows (common/weights.as.ts), y (M, N).
// Threads divide the panels of W: each reads its own weights and all of x.

import { liveRows, panelsOfLive, sentenceOf, STEP } from '../common/decode.as';
import { gelu4 } from '../common/math.as';
import { blockOf, groupOf, panelsTimesRows, sumOf } from '../common/products.as';
import { share } from '../common/share.as';
import { zero } from '../common/simd.as';
import { PANEL } from '../common/weights.as';

/** Writes eight outputs to y: the sums, + addends, GELU, + y. */
// @ts-ignore: decorator
@inline function storeEight(sums: usize, low: v128, high: v128, y: usize, gelu: u32, residual: u32): void {
  let lo = f32x4.add(v128.load(sums), low), hi = f32x4.add(v128.load(sums, 16), high);
  if (gelu) {
    lo = gelu4(lo);
    hi = gelu4(hi);
  }
  if (residual) {
    lo = f32x4.add(lo, v128.load(y));
    hi = f32x4.add(hi, v128.load(y, 16));
  }
  v128.store(y, lo);
  v128.store(y, hi, 16);
}

/** The same for `count` ≤ 8 outputs, through 96 bytes at `spare`; `added` is 0 or their addends. */
function storeSome(sums: usize, added: usize, y: usize, count: i32, gelu: u32, residual: u32, spare: usize): void {
  const bytes = <usize>count << 2;
  memory.copy(spare, sums, bytes);
  memory.fill(spare + 32, 0, 32);
  if (added) memory.copy(spare + 32, added, bytes);
  memory.copy(spare + 64, y, bytes);
  storeEight(spare, v128.load(spare + 32), v128.load(spare + 48), spare + 64, gelu, residual);
  memory.copy(y, spare + 64, bytes);
}

export function linear(
  sizes: usize, // K, N, bias, gelu, residual
  call: usize, // M, start, slot
  x: usize, // (M, K)
  w: usize, // (N, K)
  bias: usize, // (N)
  y: usize, // (M, N)
  WEIGHTS_F32: u32, thread: i32, threads: i32, scratch: usize,
): void {
  const k = load<i32>(sizes), n = load<i32>(sizes, 4), rows = load<i32>(call);
  const biased = load<u32>(sizes, 8), gelu = load<u32>(sizes, 12), residual = load<u32>(sizes, 16);
  const panels = (n + PANEL - 1) / PANEL;
  const from = share(panels, thread, threads), to = share(panels, thread + 1, threads);
  const step = blockOf(rows), group = groupOf(k);
  for (let m0 = 0; m0 < rows; m0 += step) {
    const block = min(step, rows - m0);
    for (let p = from; p < to; p += group) {
      const some = min(group, to - p);
      const block0 = x + (<usize>m0 * <usize>k << 2);
      panelsTimesRows(block0, block, k, w, p * PANEL, some, WEIGHTS_F32, p > from, scratch);
      for (let g = 0; g < some; g++) {
        const first = (p + g) * PANEL;
        const added = biased ? bias + (<usize>first << 2) : 0;
        storePanel(scratch, g, block, added, y + (<usize>(m0 * n + first) << 2), n, n - first, gelu, residual);
      }
    }
  }
}

/** Writes the sums of panel g and `rows` rows to y, of which `columns` columns are left. */
function storePanel(
  scratch: usize, g: i32, rows: i32, added: usize, y: usize, n: i32, columns: i32, gelu: u32, residual: u32,
): void {
  const pitch = <usize>n << 2;
  if (columns < PANEL) {
    for (let m = 0; m < rows; m++, y += pitch) {
      storeSome(sumOf(scratch, g, m, 0), added, y, min(8, columns), gelu, residual, scratch);
      if (columns > 8)
        storeSome(sumOf(scratch, g, m, 1), added ? added + 32 : 0, y + 32, columns - 8, gelu, residual, scratch);
    }
    return;
  }
  let b0 = zero(), b1 = zero(), b2 = zero(), b3 = zero();
  if (added) {
    b0 = v128.load(added);
    b1 = v128.load(added, 16);
    b2 = v128.load(added, 32);
    b3 = v128.load(added, 48);
  }
  for (let m = 0; m < rows; m++, y += pitch) {
    storeEight(sumOf(scratch, g, m, 0), b0, b1, y, gelu, residual);
    storeEight(sumOf(scratch, g, m, 1), b2, b3, y + 32, gelu, residual);
  }
}

export function linear_decode(
  sizes: usize, // K, N, count, even, odd, terms, gelu, residual, B
  state: usize, // (B) Rows
  x: usize, // (B, K)
  w: usize, // (N, K)
  gain: usize, // (K) LayerNorm weight
  terms: usize, // (2, N): of these only the second row, bias and shift
  y: usize, // (B, count)
  NORM: u32, EPS: f32, WEIGHTS_F32: u32, thread: i32, threads: i32, scratch: usize,
): void {
  const k = load<i32>(sizes), n = load<i32>(sizes, 4), count = load<i32>(sizes, 8), batch = load<i32>(sizes, 32);
  const termed = load<u32>(sizes, 20), gelu = load<u32>(sizes, 24), residual = load<u32>(sizes, 28);
  // all sentences of a batch are at the same step
  const start = load<u32>(state + STEP) & 1 ? load<i32>(sizes, 16) : load<i32>(sizes, 12);
  const end = min(n, start + count);
  const panels = (end - (start & ~(PANEL - 1)) + PANEL - 1) / PANEL;
  const from = share(panels, thread, threads), to = share(panels, thread + 1, threads);
  if (from == to) return;
  const live = liveRows(state, x, batch, k, NORM, gain, EPS, WEIGHTS_F32, scratch);
  if (live == 0) return;
  const group = groupOf(k);
  for (let p = from; p < to; p += group) {
    const some = min(group, to - p), first = (start & ~(PANEL - 1)) + p * PANEL;
    panelsOfLive(w, first, some, live, k, WEIGHTS_F32, p > from, scratch);
    for (let row = 0; row < live; row++) {
      const out = y + (<usize>(sentenceOf(state, row) * count) << 2);
      for (let eight = first; eight < min(end, first + some * PANEL); eight += 8) {
        // a window may begin and end inside of eight rows
        const skip = max(0, start - eight), at = eight + skip;
        if (skip >= 8) continue;
        const g = (eight - first) / PANEL, half = (eight >> 3) & 1;
        const sums = sumOf(scratch, g, row, half) + (<usize>skip << 2);
        const added = termed ? terms + (<usize>(n + at) << 2) : 0;
        const into = out + (<usize>(at - start) << 2), left = min(8 - skip, end - at);
        if (left < 8) storeSome(sums, added, into, left, gelu, residual, scratch);
        else if (added) storeEight(sums, v128.load(added), v128.load(added, 16), into, gelu, residual);
        else storeEight(sums, zero(), zero(), into, gelu, residual);
      }
    }
  }
}
