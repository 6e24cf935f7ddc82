// Draws the next token of each sentence from its logits and advances the sentence's Row of the
// state.
// HF: the logits processors in the order of generate(): BarkEosPrioritizer (on raw logits), then
// argmax, or temperature, top-k, top-p and multinomial (here Gumbel-max). suno: its rule for the
// end, on the probabilities that are drawn from.
// Shapes: logits (B, V), state (B), tokens (B, pitch).
// Grid: (B), one workgroup for each sentence; each changes its own sentence only.
//
// - Filters move a threshold over integer keys that order as the raw logits do, and never write a
//   mask.
// - Equal logits stay or go together. In top-k HF does the same. In top-p HF may cut between equal
//   ones, at a place that its sort decides; here they all stay if one of them does.
#include "common/state.wgsl"
override WG: u32 = 256u; // threads of a workgroup, a multiple of 16
#include "sample/random.wgsl"
#include "common/reduce.wgsl"

// Written by the host; kernels/sample/sample.ts packs it.
struct Sampling {
  temperature: f32,   // 0: argmax, without filters
  top_k: u32,         // 0: off
  top_p: f32,         // 1 or more: off
  min_eos_p: f32,     // suno's rule for the end; 0: off
  count_even: u32,    // logits that an even step may draw, from logit 0 on
  count_odd: u32,     // the same for an odd step
  first_even: u32,    // the token of logit 0 in an even step
  first_odd: u32,     // the same in an odd step
  eos: u32,           // the logit of the end token; 0xffffffff: there is none
  min_eos_p_raw: f32, // HF's rule for the end; 0: off
}

// Params and not overrides, so that one pipeline serves every vocabulary.
struct Params {
  count: u32, // V: logits of a sentence
  pitch: u32, // columns of `tokens`
}

@group(0) @binding(0) var<uniform>             params: Params;
@group(0) @binding(1) var<uniform>             sampling: Sampling;
@group(0) @binding(2) var<storage, read>       logits: array<f32>; // (B, V)
@group(0) @binding(3) var<storage, read_write> state: array<Row>;  // (B)
@group(0) @binding(4) var<storage, read_write> tokens: array<u32>; // (B, pitch)

const DIGIT = 2048u;        // bins of a histogram: 11 bits of a key
const WHOLE = 2147483648.0; // probability 1 as an integer; sums of integers are exact in any order
var<workgroup> bins: array<atomic<u32>, DIGIT>;   // the histogram
override SHARE: u32 = DIGIT / WG;                 // bins of a thread
var<workgroup> part_sums: array<u32, WG / PARTS>; // sums over the bins of PARTS threads
var<workgroup> found: vec2<u32>;                  // (bin, weight before it), of find_bin
var<workgroup> current: Row;

/// What a sentence draws from.
struct Scores {
  first: u32, // index of the sentence's first logit
  count: u32, // logits that this step may draw
  top: f32,   // the largest of them
}

/// An unsigned integer that orders as the float does; −0 equals 0.
fn order_key(x: f32) -> u32 {
  let bits = bitcast<u32>(x);
  if (bits == 0x80000000u) { return 0x80000000u; }
  return select(bits | 0x80000000u, ~bits, (bits >> 31u) == 1u);
}

/// (logit − top) / temperature, which is at most 0.
fn score(logit: f32, top: f32) -> f32 {
  return max((logit - top) / sampling.temperature, -1e30);
}

/// (bin, weight of the bins before it) of the first bin up to which the weights add up to more than
/// `limit`, or of the last bin that is not empty. One thread goes down three levels: parts,
/// threads, bins.
fn find_bin(limit: u32) -> vec2<u32> {
  var total = 0u;
  for (var i = 0u; i < WG / PARTS; i++) { total += part_sums[i]; }
  let rest = min(limit, max(total, 1u) - 1u);
  var below = 0u;
  var part = 0u;
  for (; part < WG / PARTS - 1u && below + part_sums[part] <= rest; part++) { below += part_sums[part]; }
  var share = part * PARTS;
  for (; share < part * PARTS + PARTS - 1u && below + reduce_words[share] <= rest; share++) {
    below += reduce_words[share];
  }
  var bin = share * SHARE;
  for (; bin < share * SHARE + SHARE - 1u; bin++) {
    let weight = atomicLoad(&bins[bin]);
    if (below + weight > rest) { break; }
    below += weight;
  }
  return vec2<u32>(bin, below);
}

/// The smallest key for which the weights of all keys up to it add up to more than `limit`; the
/// largest key if they never do. Keys below `cut` do not count. A key weighs 1, or with `per_score`
/// > 0 its probability as a part of WHOLE, exp(score) · per_score. It is a radix select: three
/// histograms of 11 bits, the last of which overlaps the one before by a bit.
fn select_key(thread: u32, s: Scores, cut: u32, limit: u32, per_score: f32) -> u32 {
  var prefix = 0u;
  var mask = 0u;
  var rest = limit;
  var shift = 21u; // then 10, then 0
  while (mask != 0xffffffffu) { // three rounds; without a counter, so that the driver cannot unroll the loop
    // Histogram of this digit over the keys that share the digits found so far.
    for (var i = thread; i < DIGIT; i += WG) { atomicStore(&bins[i], 0u); }
    workgroupBarrier();
    for (var i = thread; i < s.count; i += WG) {
      let logit = logits[s.first + i];
      let key = order_key(logit);
      if (key >= cut && (key & mask) == prefix) {
        var weight = 1u;
        if (per_score > 0.0) { weight = u32(exp(score(logit, s.top)) * per_score + 0.5); }
        atomicAdd(&bins[(key >> shift) & (DIGIT - 1u)], weight);
      }
    }
    workgroupBarrier();
    // Sum SHARE bins for each thread, and PARTS of these sums for each part; then one thread finds
    // the bin.
    var sum = 0u;
    for (var i = 0u; i < SHARE; i++) { sum += atomicLoad(&bins[thread * SHARE + i]); }
    reduce_words[thread] = sum;
    workgroupBarrier();
    if (thread < WG / PARTS) {
      sum = 0u;
      for (var i = 0u; i < PARTS; i++) { sum += reduce_words[thread * PARTS + i]; }
      part_sums[thread] = sum;
    }
    workgroupBarrier();
    if (thread == 0u) { found = find_bin(rest); }
    let digit = workgroupUniformLoad(&found);
    prefix |= digit.x << shift;
    mask |= (DIGIT - 1u) << shift;
    rest -= digit.y;
    shift -= min(shift, 11u);
  }
  return prefix;
}

/// Σ exp((logit − top) / temperature) over the logits with keys from `cut` on.
fn mass(thread: u32, s: Scores, cut: u32, temperature: f32) -> f32 {
  var sum = 0.0;
  for (var i = thread; i < s.count; i += WG) {
    let logit = logits[s.first + i];
    if (order_key(logit) >= cut) { sum += exp(max((logit - s.top) / temperature, -1e30)); }
  }
  return workgroup_sum(thread, sum);
}

/// The index of the logit that a sentence draws, of `count` from logits[first] on.
fn draw(thread: u32, row: Row, first: u32, count: u32) -> u32 {
  // Argmax.
  var best = Best(LOWEST, 0xffffffffu);
  for (var i = thread; i < count; i += WG) { best = better(best, Best(logits[first + i], i)); }
  best = workgroup_argmax(thread, best);
  let s = Scores(first, count, best.value);

  // BarkEosPrioritizer: an end token that is likely by the raw logits is drawn at once.
  if (sampling.min_eos_p_raw > 0.0 && sampling.eos < count) {
    let p = exp(logits[first + sampling.eos] - s.top) / mass(thread, s, 0u, 1.0);
    if (p > sampling.min_eos_p_raw) { return sampling.eos; }
  }
  // suno's rule adds nothing here: as the temperature goes to 0, all the probability goes to the
  // likeliest token.
  if (sampling.temperature <= 0.0) { return min(best.index, count - 1u); }

  // Top-k, then top-p, in a loop so that the select is compiled once: software drivers take seconds
  // for each copy.
  var cut = 0u;
  var by_mass = sampling.top_k == 0u || sampling.top_k >= count;
  loop {
    if (by_mass && sampling.top_p >= 1.0) { break; }
    var limit = count - sampling.top_k;
    var per_score = 0.0;
    if (by_mass) {
      limit = u32(clamp(1.0 - sampling.top_p, 0.0, 1.0) * WHOLE);
      per_score = WHOLE / mass(thread, s, cut, sampling.temperature);
    }
    cut = select_key(thread, s, cut, limit, per_score);
    if (by_mass) { break; }
    by_mass = true;
  }

  // Draw: Gumbel-max over the logits that are left.
  best = Best(LOWEST, 0xffffffffu);
  var sum = 0.0; // Σ exp(score) over them
  for (var i = thread; i < count; i += WG) {
    let logit = logits[first + i];
    if (order_key(logit) >= cut) {
      let x = score(logit, s.top);
      sum += exp(x);
      best = better(best, Best(x + gumbel(threefry2x32(row.seed, vec2<u32>(row.step, i)).x), i));
    }
  }
  let drawn = min(workgroup_argmax(thread, best).index, count - 1u);

  // suno: an end token that is likely in what is drawn from ends the sentence, whatever was drawn.
  if (sampling.min_eos_p > 0.0 && sampling.eos < count) {
    let logit = logits[first + sampling.eos];
    let p = exp(score(logit, s.top)) / workgroup_sum(thread, sum);
    if (order_key(logit) >= cut && p >= sampling.min_eos_p) { return sampling.eos; }
  }
  return drawn;
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let b = wg.x;
  if (thread == 0u) { current = state[b]; }
  let row = workgroupUniformLoad(&current);
  if (row.done == 1u) {
    if (thread == 0u) { state[b].step = row.step + 1u; } // all sentences of a batch stay at the same step
    return;
  }
  let odd = (row.step & 1u) == 1u;
  let count = clamp(select(sampling.count_even, sampling.count_odd, odd), 1u, params.count);
  let drawn = draw(thread, row, b * params.count, count);
  // Advance the sentence's state.
  if (thread == 0u) {
    let token = select(sampling.first_even, sampling.first_odd, odd) + drawn;
    let done = drawn == sampling.eos || row.step + 1u >= row.limit;
    if (row.base + row.step < params.pitch) { tokens[b * params.pitch + row.base + row.step] = token; }
    state[b].token = token;
    state[b].step = row.step + 1u;
    state[b].position = row.position + select(1u, 0u, done);
    state[b].done = u32(done);
  }
}
