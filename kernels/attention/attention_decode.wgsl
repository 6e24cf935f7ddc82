// Attention for one query of each sentence and head over its cached positions 0 … state.position:
//   y = softmax(q · Kᵀ / √D) · V
// torch: F.scaled_dot_product_attention, in a decode step. Softmax is f32.
//
// Shapes: q and y (B, H), keys and values (B, heads, capacity, D), H = heads · D.
// Grid: (heads, B)
// The base file: portable core WGSL, for adapters without subgroups, or whose subgroups have fewer
// lanes than D / 8 (rounded up to a power of two). A head is one workgroup, and the scores of all
// positions are in workgroup memory.
#include "attention/bindings_decode.wgsl"
override ROOM: u32 = 1024u; // length of `scores`, at least cache.capacity
override WG: u32 = 64u;     // a multiple of 16
const PARTS = 16u;          // threads of the first level of the maximum

var<workgroup> scores: array<f32, ROOM>;        // (positions) scores, then exp(score − maximum)
var<workgroup> shared_lo: array<vec4<f32>, WG>; // (split, D / 8) Σ p · v of channels 0 … 3 of eight
var<workgroup> shared_hi: array<vec4<f32>, WG>; // the same of channels 4 … 7
var<workgroup> partial: array<f32, WG>;         // maxima, then Σ p

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let head = wg.x;
  let b = wg.y;
  if (state[b].done == 1u) { return; }
  let count = min(state[b].position + 1u, cache.capacity);
  let chunks = cache.head_dim / 8u;
  let query = (b * cache.heads + head) * cache.head_dim / 4u;
  let base = (b * cache.heads + head) * cache.capacity * chunks;

  // Scores: a thread takes every WG-th position.
  let scale = inverseSqrt(f32(cache.head_dim));
  var top = -3.4e38;
  for (var t = thread; t < count; t += WG) {
    var score = 0.0;
    for (var i = 0u; i < chunks; i++) {
      let k = key8(base + t * chunks + i);
      score += dot(q[query + 2u * i], k.lo) + dot(q[query + 2u * i + 1u], k.hi);
    }
    scores[t] = score * scale;
    top = max(top, score * scale);
  }
  // Their maximum, in two levels and not in a tree, because software drivers take long to compile
  // every barrier (common/reduce.wgsl).
  partial[thread] = top;
  workgroupBarrier();
  if (thread < PARTS) {
    for (var i = thread; i < WG; i += PARTS) { top = max(top, partial[i]); }
    partial[thread] = top;
  }
  workgroupBarrier();
  for (var i = 0u; i < PARTS; i++) { top = max(top, partial[i]); }

  // Softmax: exponentials; their sum is made below.
  for (var t = thread; t < count; t += WG) { scores[t] = exp(scores[t] - top); }
  workgroupBarrier();

  // Accumulate P · V: a thread takes eight channels of every `splits`-th position.
  let splits = WG / chunks;
  let split = thread / chunks;
  var lo = vec4<f32>(0.0);
  var hi = vec4<f32>(0.0);
  var total = 0.0;
  if (split < splits) {
    for (var t = split; t < count; t += splits) {
      let p = scores[t];
      let v = value8(base + t * chunks + thread % chunks);
      total += p;
      lo += p * v.lo;
      hi += p * v.hi;
    }
  }
  shared_lo[thread] = lo;
  shared_hi[thread] = hi;
  partial[thread] = total;
  workgroupBarrier();

  // Epilogue: add the splits of a channel, divide and store.
  for (var channel = thread; channel < cache.head_dim; channel += WG) {
    var sum = 0.0;
    var weight = 0.0;
    for (var s = 0u; s < splits; s++) {
      let at = s * chunks + channel / 8u;
      weight += partial[at];
      sum += select(shared_lo[at][channel % 4u], shared_hi[at][channel % 4u], channel % 8u > 3u);
    }
    y[query * 4u + channel] = sum / weight;
  }
}
