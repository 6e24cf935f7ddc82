// y = act(x · Wᵀ + bias), or y += …, for many rows (linear) and for one row of each sentence, with
// the LayerNorm in front (linear_decode).
// torch: nn.Linear, nn.LayerNorm, nn.GELU.
// Shapes: x (M, K), W (N, K) in panels of 16 rows (common/weights.as.ts), y (M, N).
// Threads divide the panels of W: each reads its own weights and all of x.

import { liveRows, panelOfLive, sentenceOf, STEP } from '../common/decode.as';
import { gelu4 } from '../common/math.as';
import { blockOf, packBlock, panelTimesBlock, sumOf } from '../common/products.as';
import { share } from '../common/share.as';
import { zero } from '../common/simd.as';
import { PANEL, panelAt } from '../common/weights.as';

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
  for (let m0 = 0; m0 < rows; m0 += blockOf(k)) {
    const block = min(blockOf(k), rows - m0);
    packBlock(x + (<usize>m0 * <usize>k << 2), block, k, scratch);
    for (let p = share(panels, thread, threads); p < share(panels, thread + 1, threads); p++) {
      const first = p * PANEL;
      panelTimesBlock(block, k, panelAt(w, first, k, WEIGHTS_F32), WEIGHTS_F32, scratch);
      const added = biased ? bias + (<usize>first << 2) : 0;
      if (first + PANEL <= n) {
        let b0 = zero(), b1 = zero(), b2 = zero(), b3 = zero();
        if (added) {
          b0 = v128.load(added);
          b1 = v128.load(added, 16);
          b2 = v128.load(added, 32);
          b3 = v128.load(added, 48);
        }
        let out = y + (<usize>(m0 * n + first) << 2);
        for (let m = 0; m < block; m++, out += <usize>n << 2) {
          storeEight(sumOf(scratch, m, 0), b0, b1, out, gelu, residual);
          storeEight(sumOf(scratch, m, 1), b2, b3, out + 32, gelu, residual);
        }
        continue;
      }
      for (let m = 0; m < block; m++) {
        const out = y + (<usize>((m0 + m) * n + first) << 2);
        storeSome(sumOf(scratch, m, 0), added, out, min(8, n - first), gelu, residual, scratch);
        if (first + 8 < n)
          storeSome(sumOf(scratch, m, 1), added ? added + 32 : 0, out + 32, n - first - 8, gelu, residual, scratch);
      }
    }
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
  for (let p = from; p < to; p++) {
    const first = (start & ~(PANEL - 1)) + p * PANEL;
    panelOfLive(w, first, live, k, WEIGHTS_F32, scratch);
    for (let row = 0; row < live; row++) {
      const out = y + (<usize>(sentenceOf(state, row) * count) << 2);
      for (let half = 0; half < 2; half++) {
        // a window may begin and end inside of eight rows
        const eight = first + 8 * half;
        const skip = max(0, start - eight);
        const at = eight + skip;
        const sums = sumOf(scratch, row, half) + (<usize>skip << 2);
        const added = termed ? terms + (<usize>(n + at) << 2) : 0;
        if (at >= end || skip >= 8) continue;
        const to = out + (<usize>(at - start) << 2), some = min(8 - skip, end - at);
        if (some < 8) storeSome(sums, added, to, some, gelu, residual, scratch);
        else if (added) storeEight(sums, v128.load(added), v128.load(added, 16), to, gelu, residual);
        else storeEight(sums, zero(), zero(), to, gelu, residual);
      }
    }
  }
}
