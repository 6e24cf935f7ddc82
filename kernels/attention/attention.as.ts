// Attention of many queries of one sentence over its cached positions:
//   y = softmax(q · Kᵀ / √D) · V
// torch: F.scaled_dot_product_attention, causal or over all positions. Softmax is f32.
// Shapes: q and y (M, H), keys and values (B, heads, capacity, D), H = heads · D.
//
// - Threads divide the groups of four queries, head by head. A head's keys and values are spread to
//   panels of f32 once for all queries of a thread, in blocks of POSITIONS.
// - A group's scores of a block stay in the L1 cache: (positions, 4), as tilePacked reads them for
//   the product with the values.
// - Blocks after the first scale down what came before (online softmax).

import { exp4 } from '../common/math.as';
import { share } from '../common/share.as';
import { HALF_SCALE, high4, low4, max4, transpose4, zero } from '../common/simd.as';
import { packRows, tilePacked } from '../common/tile.as';

/** Positions of a block. */
const POSITIONS = 1024;
const MOST_CHANNELS = 128;
const LOWEST: f32 = -3.4e38;

// Scratch: keys as panels (8 positions), values as panels (8 channels), scores of a group, its
// queries (D, 4), one tile, eight rows of keys in f32.
const VALUES: usize = POSITIONS * MOST_CHANNELS * 4;
const SCORES: usize = 2 * VALUES;
const QUERIES: usize = SCORES + POSITIONS * 16;
const TILE: usize = QUERIES + MOST_CHANNELS * 16;
const ROWS: usize = TILE + 128;

/** Copies `count` f32, or halves as f32; a multiple of 8. */
function widen(from: usize, count: i32, f32s: u32, to: usize): void {
  if (f32s) {
    memory.copy(to, from, <usize>count << 2);
    return;
  }
  const scale = f32x4.splat(HALF_SCALE);
  for (let i = 0; i < count; i += 8, from += 16, to += 32) {
    const h = v128.load(from);
    v128.store(to, f32x4.mul(low4(h), scale));
    v128.store(to, f32x4.mul(high4(h), scale), 16);
  }
}

/** Spreads `count` positions of a head's keys and values, which begin at these addresses. */
function spread(keys: usize, values: usize, count: i32, width: i32, f32s: u32, scratch: usize): void {
  const bytes = <usize>width << (f32s ? 2 : 1);
  const pitch = <usize>width << 2;
  const rows = scratch + ROWS;
  for (let t = 0; t < count; t += 8) {
    const some = min(8, count - t);
    widen(keys + <usize>t * bytes, some * width, f32s, rows);
    if (some < 8) memory.fill(rows + <usize>some * pitch, 0, <usize>(8 - some) * pitch); // masked, but not NaN
    const to = scratch + <usize>t * pitch;
    packRows(rows, rows + pitch, rows + 2 * pitch, rows + 3 * pitch, width, to, 32);
    packRows(rows + 4 * pitch, rows + 5 * pitch, rows + 6 * pitch, rows + 7 * pitch, width, to + 16, 32);
    widen(values + <usize>t * bytes, some * width, f32s, rows);
    if (some < 8) memory.fill(rows + <usize>some * pitch, 0, <usize>(8 - some) * pitch);
    for (let c = 0; c < width; c += 8) {
      // panel c / 8 of the values: (POSITIONS, 8)
      let panel = scratch + VALUES + (<usize>c << 2) * POSITIONS + (<usize>t << 5);
      let row = rows + (<usize>c << 2);
      for (let i = 0; i < 8; i++, panel += 32, row += pitch) {
        v128.store(panel, v128.load(row));
        v128.store(panel, v128.load(row, 16), 16);
      }
    }
  }
}

/** Lanes of positions first … first + 3 below `seen`. */
// @ts-ignore: decorator
@inline function below(first: i32, seen: i32): v128 {
  return i32x4.lt_s(i32x4.add(i32x4.splat(first), i32x4(0, 1, 2, 3)), i32x4.splat(seen));
}

/** The largest of a row's scores of positions below `seen`; `row` is the first of its panels. */
function highest(row: usize, seen: i32): f32 {
  let top = f32x4.splat(LOWEST);
  let t = 0;
  for (; t + 8 <= seen; t += 8, row += 128) top = f32x4.pmax(top, f32x4.pmax(v128.load(row), v128.load(row, 16)));
  if (t < seen) {
    top = f32x4.pmax(top, v128.bitselect(v128.load(row), f32x4.splat(LOWEST), below(t, seen)));
    top = f32x4.pmax(top, v128.bitselect(v128.load(row, 16), f32x4.splat(LOWEST), below(t + 4, seen)));
  }
  return max4(top);
}

/** exp((s − top) · scale) of four scores from position t on; 0 from position `seen` on. */
// @ts-ignore: decorator
@inline function weigh(at: usize, top: v128, scale: v128, t: i32, seen: i32): v128 {
  const p = exp4(f32x4.mul(f32x4.sub(v128.load(at), top), scale));
  return t + 4 <= seen ? p : v128.and(p, below(t, seen));
}

export function attention(
  cache: usize, // heads, D, capacity
  call: usize, // M, start, slot
  q: usize, // (M, H)
  keys: usize, // (B, heads, capacity, D)
  values: usize, // (B, heads, capacity, D)
  y: usize, // (M, H)
  CAUSAL: u32, CACHE_F32: u32, thread: i32, threads: i32, scratch: usize,
): void {
  const heads = load<i32>(cache), width = load<i32>(cache, 4), capacity = load<i32>(cache, 8);
  const rows = load<i32>(call), start = load<i32>(call, 4), slot = load<i32>(call, 8);
  const groups = (rows + 3) >> 2, pitch = <usize>(heads * width) << 2, end = start + rows;
  const scale = f32x4.splat(1 / sqrt(<f32>width));
  const size = <usize>width << (CACHE_F32 ? 2 : 1);
  let held = -1; // which block of which head is spread
  const blocks = (end + POSITIONS - 1) / POSITIONS;
  for (let item = share(heads * groups, thread, threads); item < share(heads * groups, thread + 1, threads); item++) {
    const head = item / groups, m = (item % groups) << 2;
    const last = rows - 1;
    const from = q + (<usize>(head * width) << 2);
    packRows(
      from + <usize>m * pitch, from + <usize>min(m + 1, last) * pitch, from + <usize>min(m + 2, last) * pitch,
      from + <usize>min(m + 3, last) * pitch, width, scratch + QUERIES, 16,
    );
    // of each query the largest score so far and Σ exp, lane by lane
    let top = f32x4.splat(LOWEST), total = zero();
    const visible = CAUSAL ? min(end, start + m + 4) : end;
    for (let block = 0; block * POSITIONS < visible; block++) {
      const first = block * POSITIONS;
      if (held != head * blocks + block) {
        held = head * blocks + block;
        const at = (<usize>(slot * heads + head) * <usize>capacity + <usize>first) * size;
        spread(keys + at, values + at, min(POSITIONS, end - first), width, CACHE_F32, scratch);
      }
      const count = min(POSITIONS, visible - first);
      const padded = (count + 7) & ~7;
      for (let t = 0; t < padded; t += 8)
        tilePacked(
          scratch + QUERIES, scratch + (<usize>t * <usize>width << 2), width, scratch + SCORES + (<usize>t << 4), false,
        );
      // positions of this block that each of the four queries sees
      const own = start + m - first;
      const seen0 = CAUSAL ? max(0, min(count, own + 1)) : count, seen1 = CAUSAL ? max(0, min(count, own + 2)) : count;
      const seen2 = CAUSAL ? max(0, min(count, own + 3)) : count, seen3 = CAUSAL ? max(0, min(count, own + 4)) : count;
      let higher = f32x4.splat(highest(scratch + SCORES, seen0));
      higher = f32x4.replace_lane(higher, 1, highest(scratch + SCORES + 32, seen1));
      higher = f32x4.replace_lane(higher, 2, highest(scratch + SCORES + 64, seen2));
      higher = f32x4.replace_lane(higher, 3, highest(scratch + SCORES + 96, seen3));
      higher = f32x4.pmax(top, higher);
      const factor = exp4(f32x4.mul(f32x4.sub(top, higher), scale));
      top = higher;
      total = f32x4.mul(total, factor);
      total = f32x4.add(total, soften(scratch + SCORES, padded, top, scale, seen0, seen1, seen2, seen3));
      addValues(y + (<usize>(head * width) << 2), m, rows, pitch, width, padded, factor, block > 0, scratch);
    }
    divide(y + (<usize>(head * width) << 2), m, rows, pitch, width, total, scratch);
  }
}

/**
 * Turns a group's scores into exp((s − top) / √D), in the order (positions, 4); returns the four
 * sums.
 */
function soften(
  at: usize, count: i32, top: v128, scale: v128, seen0: i32, seen1: i32, seen2: i32, seen3: i32,
): v128 {
  const top0 = f32x4.splat(f32x4.extract_lane(top, 0)), top1 = f32x4.splat(f32x4.extract_lane(top, 1));
  const top2 = f32x4.splat(f32x4.extract_lane(top, 2)), top3 = f32x4.splat(f32x4.extract_lane(top, 3));
  let total = zero();
  for (let t = 0; t < count; t += 8, at += 128) {
    v128.store(at, weigh(at, top0, scale, t, seen0));
    v128.store(at, weigh(at + 16, top0, scale, t + 4, seen0), 16);
    v128.store(at, weigh(at + 32, top1, scale, t, seen1), 32);
    v128.store(at, weigh(at + 48, top1, scale, t + 4, seen1), 48);
    v128.store(at, weigh(at + 64, top2, scale, t, seen2), 64);
    v128.store(at, weigh(at + 80, top2, scale, t + 4, seen2), 80);
    v128.store(at, weigh(at + 96, top3, scale, t, seen3), 96);
    v128.store(at, weigh(at + 112, top3, scale, t + 4, seen3), 112);
    const a = v128.load(at, 16), b = v128.load(at, 48), c = v128.load(at, 80), d = v128.load(at, 112);
    transpose4(v128.load(at), v128.load(at, 32), v128.load(at, 64), v128.load(at, 96), at, 16);
    transpose4(a, b, c, d, at + 64, 16);
    for (let i: usize = 0; i < 128; i += 16) total = f32x4.add(total, v128.load(at + i));
  }
  return total;
}

/** y of up to four queries = P · V of a block, + y · factor if there was a block before. */
function addValues(
  y: usize, m: i32, rows: i32, pitch: usize, width: i32, count: i32, factor: v128, more: bool, scratch: usize,
): void {
  v128.store(scratch + ROWS, factor);
  for (let c = 0; c < width; c += 8) {
    const tile = scratch + TILE;
    tilePacked(scratch + SCORES, scratch + VALUES + (<usize>c << 2) * POSITIONS, count, tile, false);
    for (let r = 0; r < min(4, rows - m); r++) {
      const to = y + <usize>(m + r) * pitch + (<usize>c << 2), from = tile + (<usize>r << 5);
      let lo = v128.load(from), hi = v128.load(from, 16);
      if (more) {
        const factors = v128.load32_splat(scratch + ROWS + (<usize>r << 2));
        lo = f32x4.add(lo, f32x4.mul(v128.load(to), factors));
        hi = f32x4.add(hi, f32x4.mul(v128.load(to, 16), factors));
      }
      v128.store(to, lo);
      v128.store(to, hi, 16);
    }
  }
}

/** Divides up to four queries' y by their totals. */
function divide(y: usize, m: i32, rows: i32, pitch: usize, width: i32, total: v128, scratch: usize): void {
  v128.store(scratch + ROWS, f32x4.div(f32x4.splat(1), total));
  for (let r = 0; r < min(4, rows - m); r++) {
    const row = y + <usize>(m + r) * pitch;
    const factor = v128.load32_splat(scratch + ROWS + (<usize>r << 2));
    for (let i: usize = 0; i < <usize>width << 2; i += 16) v128.store(row + i, f32x4.mul(v128.load(row + i), factor));
  }
}
