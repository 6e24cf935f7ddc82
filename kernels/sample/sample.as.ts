// Draws the next token of each sentence from its logits and advances the sentence's Row of the
// state; and draws one codebook of the fine model for the positions of a window.
// HF: the logits processors in the order of generate(): BarkEosPrioritizer (on raw logits), then
// argmax, or temperature, top-k, top-p and multinomial (here Gumbel-max). suno: its rule for the
// end, on the probabilities that are drawn from. BarkFineModel.generate, both branches.
// Shapes: logits (B, V), state (B), tokens (B, pitch); of a window logits (T, V), codes (T, Q).
// A sentence, or a position, is one thread's: a draw from 10,048 logits takes it about 0.1 ms.
// sample.wgsl gives the same tokens; it says what the thresholds over integer keys are for.

import { DONE, POSITION, ROW_BYTES, STEP } from '../common/decode.as';
import { exp4 } from '../common/math.as';
import { share } from '../common/share.as';
import { sum4, zero } from '../common/simd.as';
import { gumbel4, gumbelBound4, MOST_NOISE, threefry4 } from './random.as';

const LOWEST: f32 = -3.4028234663852886e38;
const DIGIT: u32 = 2048; // bins of a histogram: 11 bits of a key
const WHOLE: f32 = 2147483648.0; // probability 1 as an integer: sums of integers are exact in any order
const NONE: u32 = 0xffffffff;
const TOKEN: usize = 0, SEED: usize = 16, LIMIT: usize = 24, BASE: usize = 28; // of a Row

// Scratch: histogram, then a key and a weight for each logit.
const KEYS: usize = DIGIT * 4;

/** Unsigned integers that order as the floats do; −0 equals 0. */
// @ts-ignore: decorator
@inline function orderKey(x: v128): v128 {
  const negative = i32x4.shr_s(x, 31);
  const key = v128.xor(x, v128.or(negative, i32x4.splat(0x80000000)));
  const minusZero = i32x4.eq(x, i32x4.splat(0x80000000));
  return v128.bitselect(i32x4.splat(0x80000000), key, minusZero);
}

/** The lanes of i … i + 3 below `count`. */
// @ts-ignore: decorator
@inline function lanes(i: u32, count: u32): v128 {
  return i32x4.lt_u(i32x4.add(i32x4.splat(i), i32x4(0, 1, 2, 3)), i32x4.splat(count));
}

/**
 * The index of the best of four scores and their indices; of equals the lowest. `spare` has room for
 * 32 bytes.
 */
function bestOf(scores: v128, indices: v128, spare: usize): u32 {
  v128.store(spare, scores);
  v128.store(spare, indices, 16);
  let best = spare;
  for (let at = spare + 4; at < spare + 16; at += 4) {
    const score = load<f32>(at), top = load<f32>(best);
    if (score > top || (score == top && load<u32>(at, 16) < load<u32>(best, 16))) best = at;
  }
  return load<u32>(best, 16);
}

/** The index of the largest of `count` logits. */
function likeliestOf(logits: usize, count: u32, spare: usize): u32 {
  let best = f32x4.splat(LOWEST), index = i32x4.splat(-1), at = i32x4(0, 1, 2, 3);
  for (let i: u32 = 0; i < count; i += 4, at = i32x4.add(at, i32x4.splat(4))) {
    const score = v128.load(logits + (<usize>i << 2));
    const better = v128.and(lanes(i, count), f32x4.gt(score, best));
    best = v128.bitselect(score, best, better);
    index = v128.bitselect(at, index, better);
  }
  return min(bestOf(best, index, spare), count - 1);
}

/** (logit − top) / temperature of four logits. */
// @ts-ignore: decorator
@inline function score4(logits: usize, i: u32, top: f32, temperature: f32): v128 {
  return f32x4.div(f32x4.sub(v128.load(logits + (<usize>i << 2)), f32x4.splat(top)), f32x4.splat(temperature));
}

/** Of i … i + 3 the lanes below `count` with keys from `cut` on; all below `count` if `keys` is 0. */
// @ts-ignore: decorator
@inline function wanted4(keys: usize, i: u32, count: u32, cut: u32): v128 {
  const inside = lanes(i, count);
  return keys ? v128.and(inside, i32x4.ge_u(v128.load(keys + (<usize>i << 2)), i32x4.splat(cut))) : inside;
}

/**
 * The index of the largest of (logit − top) / temperature + noise from (key, (step, i)), over
 * `wanted4`; of equals the lowest. Random bits and logarithms are made only where a bound of the
 * noise leaves one of four a chance to be the best.
 */
function noisiestOf(
  logits: usize, count: u32, keys: usize, cut: u32, top: f32, temperature: f32, seed: usize, step: u32, spare: usize,
): u32 {
  const key0 = load<u32>(seed), key1 = load<u32>(seed, 4);
  let best = LOWEST, index = NONE, atLeast = f32x4.splat(LOWEST);
  for (let i: u32 = 0; i < count; i += 4) {
    let score = score4(logits, i, top, temperature);
    score = f32x4.pmin(f32x4.pmax(score, f32x4.splat(-1e30)), f32x4.splat(1e30));
    let wanted = wanted4(keys, i, count, cut);
    wanted = v128.and(wanted, f32x4.gt(f32x4.add(score, f32x4.splat(MOST_NOISE)), atLeast));
    if (!v128.any_true(wanted)) continue;
    const bits = threefry4(key0, key1, step, i);
    wanted = v128.and(wanted, f32x4.gt(f32x4.add(score, gumbelBound4(bits)), atLeast));
    if (!v128.any_true(wanted)) continue;
    v128.store(spare, f32x4.add(score, gumbel4(bits)));
    for (let left = i32x4.bitmask(wanted); left; left &= left - 1) {
      const noisy = load<f32>(spare + (<usize>ctz(left) << 2));
      if (noisy > best) { best = noisy; index = i + ctz(left); }
    }
    atLeast = f32x4.splat(best);
  }
  return min(index, count - 1);
}

/**
 * Σ exp((logit − top) / temperature) over `wanted4`; writes the terms to `terms`, unless it is 0,
 * where one of four is wanted.
 */
function mass(logits: usize, count: u32, keys: usize, cut: u32, top: f32, temperature: f32, terms: usize): f32 {
  let sum = zero();
  for (let i: u32 = 0; i < count; i += 4) {
    const wanted = wanted4(keys, i, count, cut);
    if (!v128.any_true(wanted)) continue;
    const term = exp4(score4(logits, i, top, temperature));
    if (terms) v128.store(terms + (<usize>i << 2), term);
    sum = f32x4.add(sum, v128.and(wanted, term));
  }
  return sum4(sum);
}

/** exp((logit − top) / temperature) of one logit. */
// @ts-ignore: decorator
@inline function chance(logit: f32, top: f32, temperature: f32): f32 {
  return f32x4.extract_lane(exp4(f32x4.splat(max((logit - top) / temperature, -1e30))), 0);
}

/**
 * The smallest key for which the weights of all keys up to it add up to more than `limit`; the
 * largest key if they never do. Keys below `cut` do not count. A radix select: three histograms of
 * 11 bits, the last of which overlaps the one before by a bit. `weights` is 0 where each weighs 1.
 */
function selectKey(keys: usize, weights: usize, count: u32, cut: u32, limit: u32, bins: usize): u32 {
  let prefix: u32 = 0, mask: u32 = 0, rest = limit, shift: u32 = 21; // then 10, then 0
  while (mask != 0xffffffff) {
    memory.fill(bins, 0, DIGIT * 4);
    let total: u32 = 0;
    for (let i: u32 = 0; i < count; i += 4) {
      const here = i32x4.eq(v128.and(v128.load(keys + (<usize>i << 2)), i32x4.splat(mask)), i32x4.splat(prefix));
      for (let left = i32x4.bitmask(v128.and(here, wanted4(keys, i, count, cut))); left; left &= left - 1) {
        const at = <usize>(i + ctz(left)) << 2;
        const bin = bins + (<usize>((load<u32>(keys + at) >> shift) & (DIGIT - 1)) << 2);
        const weight = weights ? load<u32>(weights + at) : 1;
        store<u32>(bin, load<u32>(bin) + weight);
        total += weight;
      }
    }
    rest = min(rest, max(total, 1) - 1);
    let digit: u32 = 0, below: u32 = 0;
    for (; digit < DIGIT - 1; digit++) {
      const weight = load<u32>(bins + (<usize>digit << 2));
      if (below + weight > rest) break;
      below += weight;
    }
    prefix |= digit << shift;
    mask |= (DIGIT - 1) << shift;
    rest -= below;
    shift -= min(shift, 11);
  }
  return prefix;
}

/** The index of the logit that a sentence draws, of `count` from `logits` on. */
function draw(row: usize, logits: usize, count: u32, sampling: usize, scratch: usize): u32 {
  const temperature = load<f32>(sampling), topK = load<u32>(sampling, 4), topP = load<f32>(sampling, 8);
  const minEosP = load<f32>(sampling, 12), eos = load<u32>(sampling, 32), minEosPRaw = load<f32>(sampling, 36);
  const likeliest = likeliestOf(logits, count, scratch);
  const top = max(load<f32>(logits + (<usize>likeliest << 2)), LOWEST); // so that differences are numbers

  // BarkEosPrioritizer: an end token that is likely by the raw logits is drawn at once. What p is
  // divided by is at least 1, the likeliest token's own term: a p too small needs no sum.
  if (minEosPRaw > 0 && eos < count) {
    const p = chance(load<f32>(logits + (<usize>eos << 2)), top, 1);
    if (p > minEosPRaw && p / mass(logits, count, 0, 0, top, 1, 0) > minEosPRaw) return eos;
  }
  // suno's rule adds nothing here: as the temperature goes to 0, all the probability goes to the
  // likeliest token.
  if (temperature <= 0) return likeliest;

  // Top-k, then top-p.
  const keys = scratch + KEYS, weights = keys + ((<usize>count + 3) << 2);
  for (let i: usize = 0; i < <usize>count << 2; i += 16) v128.store(keys + i, orderKey(v128.load(logits + i)));
  let cut: u32 = 0;
  if (topK != 0 && topK < count) cut = selectKey(keys, 0, count, cut, count - topK, scratch);
  if (topP < 1) {
    const limit = <u32>(max(min(<f32>1 - topP, 1), 0) * WHOLE);
    const perScore = WHOLE / mass(logits, count, keys, cut, top, temperature, weights);
    for (let i: usize = 0; i < <usize>count << 2; i += 16) {
      const weight = f32x4.add(f32x4.mul(v128.load(weights + i), f32x4.splat(perScore)), f32x4.splat(0.5));
      v128.store(weights + i, i32x4.trunc_sat_f32x4_u(weight));
    }
    cut = selectKey(keys, weights, count, cut, limit, scratch);
  }

  // Draw: Gumbel-max over the logits that are left.
  const drawn = noisiestOf(logits, count, keys, cut, top, temperature, row + SEED, load<u32>(row + STEP), scratch);
  // suno: an end token that is likely in what is drawn from ends the sentence, whatever was drawn.
  if (minEosP > 0 && eos < count && load<u32>(keys + (<usize>eos << 2)) >= cut) {
    const p = chance(load<f32>(logits + (<usize>eos << 2)), top, temperature);
    if (p >= minEosP && p / mass(logits, count, keys, cut, top, temperature, 0) >= minEosP) return eos;
  }
  return drawn;
}

export function sample(
  params: usize, // V, pitch of tokens
  sampling: usize, // struct Sampling of sample.wgsl
  logits: usize, // (B, V)
  state: usize, // (B) Rows
  tokens: usize, // (B, pitch)
  gridX: i32, thread: i32, threads: i32, scratch: usize,
): void {
  const vocab = load<u32>(params), pitch = load<u32>(params, 4);
  for (let b = share(gridX, thread, threads); b < share(gridX, thread + 1, threads); b++) {
    const row = state + <usize>b * ROW_BYTES;
    const step = load<u32>(row + STEP);
    store<u32>(row + STEP, step + 1); // all sentences of a batch stay at the same step
    if (load<u32>(row + DONE)) continue;
    store<u32>(row + STEP, step);
    const odd = step & 1;
    const count = max(1, min(load<u32>(sampling + (odd ? 20 : 16)), vocab));
    const drawn = draw(row, logits + (<usize>(b * vocab) << 2), count, sampling, scratch);
    const token = load<u32>(sampling + (odd ? 28 : 24)) + drawn;
    const eos = load<u32>(sampling, 32), base = load<u32>(row + BASE);
    const done = (eos != NONE && drawn == eos) || step + 1 >= load<u32>(row + LIMIT);
    if (base + step < pitch) store<u32>(tokens + (<usize>(b * pitch + base + step) << 2), token);
    store<u32>(row + TOKEN, token);
    store<u32>(row + STEP, step + 1);
    if (!done) store<u32>(row + POSITION, load<u32>(row + POSITION) + 1);
    store<u32>(row + DONE, done ? 1 : 0);
  }
}

export function sample_codes(
  params: usize, // V, Q
  sampling: usize, // key (2), temperature, start, column, count
  logits: usize, // (T, V)
  codes: usize, // (T, Q)
  gridX: i32, thread: i32, threads: i32, scratch: usize,
): void {
  const vocab = load<u32>(params), codebooks = load<u32>(params, 4);
  const temperature = load<f32>(sampling, 8), start = load<i32>(sampling, 12), column = load<u32>(sampling, 16);
  const count = max(1, min(load<u32>(sampling, 20), vocab));
  const positions = max(0, gridX - start);
  for (let t = start + share(positions, thread, threads); t < start + share(positions, thread + 1, threads); t++) {
    const row = logits + (<usize>(t * vocab) << 2);
    const drawn = temperature > 0
      ? noisiestOf(row, count, 0, 0, 0, temperature, sampling, t, scratch)
      : likeliestOf(row, count, scratch);
    store<u32>(codes + (<usize>(t * codebooks + column) << 2), drawn);
  }
}
