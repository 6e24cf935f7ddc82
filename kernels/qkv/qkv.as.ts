// q, k, v = x · Wᵀ + bias, where keys and values go straight to the KV cache: for many rows of one
// sentence (qkv) and for one row of each sentence, with the LayerNorm in front (qkv_decode).
// torch: att_proj of Bark's attention.
// Shapes: x and q (M, H), W (3H, H) in panels, keys and values (B, heads, capacity, D).
// Threads divide the panels of W. Eight neighbouring outputs belong to one head, because D is a
// multiple of 8.

import { liveRows, panelOfLive, POSITION, ROW_BYTES, sentenceOf } from '../common/decode.as';
import { blockOf, packBlock, panelTimesBlock, sumOf } from '../common/products.as';
import { share } from '../common/share.as';
import { toHalves } from '../common/simd.as';
import { PANEL, panelAt } from '../common/weights.as';

/** Writes eight outputs from output n on: queries to q (H), keys and values to the cache. */
function storeEight(
  sums: usize, added: usize, n: i32, hidden: i32, q: usize, keys: usize, values: usize,
  cache: usize, slot: i32, position: i32, f32s: u32,
): void {
  let lo = v128.load(sums), hi = v128.load(sums, 16);
  if (added) {
    lo = f32x4.add(lo, v128.load(added));
    hi = f32x4.add(hi, v128.load(added, 16));
  }
  if (n < hidden) {
    v128.store(q + (<usize>n << 2), lo);
    v128.store(q + (<usize>n << 2), hi, 16);
    return;
  }
  const heads = load<i32>(cache), width = load<i32>(cache, 4), capacity = load<i32>(cache, 8);
  const c = n % hidden;
  const row = <usize>(slot * heads + c / width) * <usize>capacity + <usize>position;
  const at = row * <usize>width + <usize>(c % width);
  const to = n < 2 * hidden ? keys : values;
  if (f32s) {
    v128.store(to + (at << 2), lo);
    v128.store(to + (at << 2), hi, 16);
  } else v128.store(to + (at << 1), i16x8.narrow_i32x4_u(toHalves(lo), toHalves(hi)));
}

export function qkv(
  sizes: usize, // K = H, N = 3H, bias
  cache: usize, // heads, D, capacity
  call: usize, // M, start, slot
  x: usize, // (M, H), normalised
  w: usize, // (3H, H)
  bias: usize, // (3H)
  q: usize, // (M, H)
  keys: usize, // (B, heads, capacity, D)
  values: usize, // (B, heads, capacity, D)
  WEIGHTS_F32: u32, CACHE_F32: u32, thread: i32, threads: i32, scratch: usize,
): void {
  const k = load<i32>(sizes), n = load<i32>(sizes, 4), biased = load<u32>(sizes, 8), capacity = load<i32>(cache, 8);
  const start = load<i32>(call, 4), slot = load<i32>(call, 8), rows = min(load<i32>(call), capacity - start);
  const panels = (n + PANEL - 1) / PANEL;
  for (let m0 = 0; m0 < rows; m0 += blockOf(k)) {
    const block = min(blockOf(k), rows - m0);
    packBlock(x + (<usize>m0 * <usize>k << 2), block, k, scratch);
    for (let p = share(panels, thread, threads); p < share(panels, thread + 1, threads); p++) {
      const first = p * PANEL;
      panelTimesBlock(block, k, panelAt(w, first, k, WEIGHTS_F32), WEIGHTS_F32, scratch);
      for (let m = 0; m < block; m++) {
        const row = q + (<usize>(m0 + m) * <usize>k << 2);
        for (let half = 0; half < 2; half++) {
          const at = first + 8 * half;
          const added = biased ? bias + (<usize>at << 2) : 0;
          if (at < n)
            storeEight(
              sumOf(scratch, m, half), added, at, k, row, keys, values, cache, slot, start + m0 + m, CACHE_F32,
            );
        }
      }
    }
  }
}

export function qkv_decode(
  sizes: usize, // K = H, N = 3H, N, 0, 0, terms, 0, 0, B
  cache: usize, // heads, D, capacity
  state: usize, // (B) Rows
  x: usize, // (B, H)
  w: usize, // (3H, H)
  gain: usize, // (H) LayerNorm weight
  terms: usize, // (2, 3H): of these only the second row, bias and shift
  q: usize, // (B, H)
  keys: usize, // (B, heads, capacity, D)
  values: usize, // (B, heads, capacity, D)
  NORM: u32, EPS: f32, WEIGHTS_F32: u32, CACHE_F32: u32, thread: i32, threads: i32, scratch: usize,
): void {
  const k = load<i32>(sizes), n = load<i32>(sizes, 4), termed = load<u32>(sizes, 20), batch = load<i32>(sizes, 32);
  const panels = (n + PANEL - 1) / PANEL;
  const from = share(panels, thread, threads), to = share(panels, thread + 1, threads);
  if (from == to) return;
  const live = liveRows(state, x, batch, k, NORM, gain, EPS, WEIGHTS_F32, scratch);
  if (live == 0) return;
  for (let p = from; p < to; p++) {
    const first = p * PANEL;
    panelOfLive(w, first, live, k, WEIGHTS_F32, scratch);
    for (let row = 0; row < live; row++) {
      const b = sentenceOf(state, row);
      const position = load<i32>(state + <usize>b * ROW_BYTES + POSITION);
      for (let half = 0; half < 2; half++) {
        const at = first + 8 * half;
        if (at >= n || (at >= k && position >= load<i32>(cache, 8))) continue;
        const added = termed ? terms + (<usize>(n + at) << 2) : 0;
        const sums = sumOf(scratch, row, half), out = q + (<usize>(b * k) << 2);
        storeEight(sums, added, at, k, out, keys, values, cache, b, position, CACHE_F32);
      }
    }
  }
}
