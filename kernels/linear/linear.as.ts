// y = act(x · Wᵀ + bias), or y += …, for many rows (linear) and for one row of each sentence, with
// the LayerNorm in front (linear_decode).
// torch: nn.Linear, nn.LayerNorm, nn.GELU.
// Shapes: x (M, K), W (N, K) in panels of 16 rows (common/weights.as.ts), y (M, N).
// Threads divide the panels of W: each reads its own weights and all of x.

import { liveRows, panelOfLive, sentenceOf, STEP } from '../common/decode.as';
import { gelu4 } from '../common/math.as';
import { blockOf, packBlock, panelTimesBlock, sumOf } from '../common/products.as';
import { share } from '../common/share.as';
import { PANEL, panelAt } from '../common/weights.as';

/** Writes eight outputs to y: the sums, + added (unless that is 0), GELU, + y. */
function storeEight(sums: usize, added: usize, y: usize, gelu: u32, residual: u32): void {
  let lo = v128.load(sums), hi = v128.load(sums, 16);
  if (added) {
    lo = f32x4.add(lo, v128.load(added));
    hi = f32x4.add(hi, v128.load(added, 16));
  }
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

/** The same for `count` ≤ 8 outputs; fewer pass through 96 bytes at `spare`. */
function storeSome(sums: usize, added: usize, y: usize, count: i32, gelu: u32, residual: u32, spare: usize): void {
  if (count == 8) return storeEight(sums, added, y, gelu, residual);
  const bytes = <usize>count << 2;
  memory.copy(spare, sums, bytes);
  if (added) memory.copy(spare + 32, added, bytes);
  memory.copy(spare + 64, y, bytes);
  storeEight(spare, added ? spare + 32 : 0, spare + 64, gelu, residual);
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
      for (let m = 0; m < block; m++) {
        const row = y + (<usize>(m0 + m) * <usize>n << 2);
        for (let half = 0; half < 2; half++) {
          const at = first + 8 * half;
          const added = biased ? bias + (<usize>at << 2) : 0;
          if (at < n)
            storeSome(sumOf(scratch, m, half), added, row + (<usize>at << 2), min(8, n - at), gelu, residual, scratch);
        }
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
        if (at < end && skip < 8)
          storeSome(sums, added, out + (<usize>(at - start) << 2), min(8 - skip, end - at), gelu, residual, scratch);
      }
    }
  }
}
