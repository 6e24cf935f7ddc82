// Attention for one query of each sentence and head over its cached positions 0 … state.position:
//   y = softmax(q · Kᵀ / √D) · V
// torch: F.scaled_dot_product_attention, in a decode step. Softmax is f32.
// Shapes: q and y (B, H), keys and values (B, heads, capacity, D), H = heads · D.
// Threads divide the heads of all sentences. A head's keys and values are walked through once,
// straight on.

import { DONE, POSITION, ROW_BYTES } from '../common/decode.as';
import { exp4 } from '../common/math.as';
import { share } from '../common/share.as';
import { HALF_STEP, high4, low4, madd, max4, sum4, zero } from '../common/simd.as';

// Scratch: the query, times what scales it; one head's output; then the scores.
const OUT: usize = 512;
const SCORES: usize = 1024;

/** q · k of the head's channels, eight at a time. */
// @ts-ignore: decorator
@inline function product(q: usize, key: usize, width: i32, f32s: u32): f32 {
  let lo = zero(), hi = zero();
  const end = q + (<usize>width << 2);
  if (f32s) {
    for (; q < end; q += 32, key += 32) {
      lo = madd(v128.load(q), v128.load(key), lo);
      hi = madd(v128.load(q, 16), v128.load(key, 16), hi);
    }
  } else {
    for (; q < end; q += 32, key += 16) {
      const h = v128.load(key);
      lo = madd(v128.load(q), low4(h), lo);
      hi = madd(v128.load(q, 16), high4(h), hi);
    }
  }
  return sum4(f32x4.add(lo, hi));
}

/** Σ_t p[t] · v[t] of 32 channels, or of 8, to `to`. `step` is the bytes from position to position. */
function weighted(p: usize, count: i32, value: usize, step: usize, f32s: u32, wide: bool, to: usize): void {
  let a0 = zero(), a1 = zero(), a2 = zero(), a3 = zero(), a4 = zero(), a5 = zero(), a6 = zero(), a7 = zero();
  for (const end = p + (<usize>count << 2); p < end; p += 4, value += step) {
    const weight = v128.load32_splat(p);
    if (f32s) {
      a0 = madd(weight, v128.load(value), a0);
      a1 = madd(weight, v128.load(value, 16), a1);
      if (wide) {
        a2 = madd(weight, v128.load(value, 32), a2);
        a3 = madd(weight, v128.load(value, 48), a3);
        a4 = madd(weight, v128.load(value, 64), a4);
        a5 = madd(weight, v128.load(value, 80), a5);
        a6 = madd(weight, v128.load(value, 96), a6);
        a7 = madd(weight, v128.load(value, 112), a7);
      }
    } else {
      let h = v128.load(value);
      a0 = madd(weight, low4(h), a0);
      a1 = madd(weight, high4(h), a1);
      if (wide) {
        h = v128.load(value, 16);
        a2 = madd(weight, low4(h), a2);
        a3 = madd(weight, high4(h), a3);
        h = v128.load(value, 32);
        a4 = madd(weight, low4(h), a4);
        a5 = madd(weight, high4(h), a5);
        h = v128.load(value, 48);
        a6 = madd(weight, low4(h), a6);
        a7 = madd(weight, high4(h), a7);
      }
    }
  }
  v128.store(to, a0);
  v128.store(to, a1, 16);
  if (!wide) return;
  v128.store(to, a2, 32);
  v128.store(to, a3, 48);
  v128.store(to, a4, 64);
  v128.store(to, a5, 80);
  v128.store(to, a6, 96);
  v128.store(to, a7, 112);
}

export function attention_decode(
  cache: usize, // heads, D, capacity
  state: usize, // (B) Rows
  q: usize, // (B, H)
  keys: usize, // (B, heads, capacity, D)
  values: usize, // (B, heads, capacity, D)
  y: usize, // (B, H)
  CACHE_F32: u32, gridY: i32, thread: i32, threads: i32, scratch: usize,
): void {
  const heads = load<i32>(cache), width = load<i32>(cache, 4), capacity = load<i32>(cache, 8);
  const step = <usize>width << (CACHE_F32 ? 2 : 1);
  // Halves are read times 2^-112; half of that is given back before the sums and half after.
  const back: f32 = CACHE_F32 ? 1 : HALF_STEP;
  const items = heads * gridY;
  for (let item = share(items, thread, threads); item < share(items, thread + 1, threads); item++) {
    const b = item / heads;
    const row = state + <usize>b * ROW_BYTES;
    if (load<u32>(row + DONE)) continue;
    const count = min(load<i32>(row + POSITION) + 1, capacity);
    const head = <usize>(item * width) << 2;
    const first = <usize>item * <usize>capacity * step;

    const scale = f32x4.splat(back / sqrt(<f32>width));
    for (let i: usize = 0; i < <usize>width << 2; i += 16)
      v128.store(scratch + i, f32x4.mul(v128.load(q + head + i), scale));
    const scores = scratch + SCORES;
    let key = keys + first;
    for (let t: usize = 0; t < <usize>count << 2; t += 4, key += step)
      store<f32>(scores + t, product(scratch, key, width, CACHE_F32) * back);

    // Softmax; what pads the last four weighs nothing.
    const end = scores + (<usize>count << 2);
    for (let at = end; at & 15; at += 4) store<f32>(at, -3.4e38);
    let top = f32x4.splat(-3.4e38), total = zero();
    for (let at = scores; at < end; at += 16) top = f32x4.pmax(top, v128.load(at));
    top = f32x4.splat(max4(top));
    for (let at = scores; at < end; at += 16) {
      const p = exp4(f32x4.sub(v128.load(at), top));
      total = f32x4.add(total, p);
      v128.store(at, f32x4.mul(p, f32x4.splat(back)));
    }
    const factor = f32x4.splat(back / sum4(total));

    for (let c = 0; c < width; ) {
      const wide = c + 32 <= width;
      weighted(scores, count, values + first + (<usize>c << (CACHE_F32 ? 2 : 1)), step, CACHE_F32, wide, scratch + OUT);
      const bytes: usize = wide ? 128 : 32;
      for (let i: usize = 0; i < bytes; i += 16)
        v128.store(y + head + (<usize>c << 2) + i, f32x4.mul(v128.load(scratch + OUT + i), factor));
      c += wide ? 32 : 8;
    }
  }
}
