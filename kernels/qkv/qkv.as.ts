// q, k, v = x · Wᵀ + bias, where keys and values go straight to the KV cache: for many rows of one
// sentence (qkv) and for one row of each sentence, with the LayerNorm in front (qkv_decode).
// torch: att_proj of Bark's attention.
// Shapes: x and q (M, H), W (3H, H) in panels, keys and values (B, heads, capacity, D).
// Threads divide the panels of W. Eight neighbouring outputs belong to one head, because D is a
// multiple of 8.

import { liveRows, panelsOfLive, POSITION, ROW_BYTES, sentenceOf } from '../common/decode.as';
import { blockOf, groupOf, panelsTimesRows, sumOf } from '../common/products.as';
import { share } from '../common/share.as';
import { toHalves, zero } from '../common/simd.as';
import { PANEL } from '../common/weights.as';

/** Eight sums + eight addends, to f32 or halves. */
// @ts-ignore: decorator
@inline function storeEight(sums: usize, low: v128, high: v128, to: usize, f32s: u32): void {
  const lo = f32x4.add(v128.load(sums), low), hi = f32x4.add(v128.load(sums, 16), high);
  if (f32s) {
    v128.store(to, lo);
    v128.store(to, hi, 16);
  } else v128.store(to, i16x8.narrow_i32x4_u(toHalves(lo), toHalves(hi)));
}

/** Bytes from the start of keys or values to output n ≥ H, which is of a key or a value. */
function placeInCache(cache: usize, n: i32, hidden: i32, slot: i32, position: i32, f32s: u32): usize {
  const heads = load<i32>(cache), width = load<i32>(cache, 4), capacity = load<i32>(cache, 8);
  const c = n % hidden;
  const row = <usize>(slot * heads + c / width) * <usize>capacity + <usize>position;
  return (row * <usize>width + <usize>(c % width)) << (f32s ? 2 : 1);
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
  const from = share(panels, thread, threads), to = share(panels, thread + 1, threads);
  const step = blockOf(rows), group = groupOf(k), inCache = <usize>load<i32>(cache, 4) << (CACHE_F32 ? 2 : 1);
  for (let m0 = 0; m0 < rows; m0 += step) {
    const block = min(step, rows - m0);
    for (let p = from; p < to; p += group) {
      const some = min(group, to - p), first = p * PANEL;
      panelsTimesRows(x + (<usize>m0 * <usize>k << 2), block, k, w, first, some, WEIGHTS_F32, p > from, scratch);
      for (let at = first; at < min(n, first + some * PANEL); at += 8) {
        const g = (at - first) / PANEL, half = (at >> 3) & 1;
        const low = biased ? v128.load(bias + (<usize>at << 2)) : zero();
        const high = biased ? v128.load(bias + (<usize>at << 2), 16) : zero();
        if (at < k) {
          let out = q + (<usize>(m0 * k + at) << 2);
          for (let m = 0; m < block; m++, out += <usize>k << 2)
            storeEight(sumOf(scratch, g, m, half), low, high, out, 1);
          continue;
        }
        let out = (at < 2 * k ? keys : values) + placeInCache(cache, at, k, slot, start + m0, CACHE_F32);
        for (let m = 0; m < block; m++, out += inCache)
          storeEight(sumOf(scratch, g, m, half), low, high, out, CACHE_F32);
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
  const group = groupOf(k);
  for (let p = from; p < to; p += group) {
    const some = min(group, to - p), first = p * PANEL;
    panelsOfLive(w, first, some, live, k, WEIGHTS_F32, p > from, scratch);
    for (let row = 0; row < live; row++) {
      const b = sentenceOf(state, row);
      const position = load<i32>(state + <usize>b * ROW_BYTES + POSITION);
      for (let at = first; at < min(n, first + some * PANEL); at += 8) {
        const sums = sumOf(scratch, (at - first) / PANEL, row, (at >> 3) & 1);
        const added = terms + (<usize>(n + at) << 2);
        const low = termed ? v128.load(added) : zero(), high = termed ? v128.load(added, 16) : zero();
        if (at < k) storeEight(sums, low, high, q + (<usize>(b * k + at) << 2), 1);
        else if (position < load<i32>(cache, 8)) {
          const to = (at < 2 * k ? keys : values) + placeInCache(cache, at, k, b, position, CACHE_F32);
          storeEight(sums, low, high, to, CACHE_F32);
        }
      }
    }
  }
}
