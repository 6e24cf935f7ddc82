// One query a sentence and head over the cached positions 0 … state.position: y = softmax(q · Kᵀ /
// √head_dim) · V.
// torch: the attention of a decode step. Softmax in f32. One workgroup a head: scores of all
// positions lie in workgroup memory.
// Grid: (heads, B). Portable: no subgroups.
#include "attention/bindings_decode.wgsl"
override ROOM: u32 = 1024u; // scores there is room for, at least cache.capacity
override WG: u32 = 64u;     // a multiple of 16
const PARTS = 16u;

var<workgroup> scores: array<f32, ROOM>;
var<workgroup> shared_lo: array<vec4<f32>, WG>;
var<workgroup> shared_hi: array<vec4<f32>, WG>;
var<workgroup> partial: array<f32, WG>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let head = wg.x;
  let row = wg.y;
  if (state[row].done == 1u) { return; }
  let count = min(state[row].position + 1u, cache.capacity);
  let chunks = cache.head_dim / 8u;
  let query = (row * cache.heads + head) * cache.head_dim / 4u;
  let base = (row * cache.heads + head) * cache.capacity * chunks;

  // Scores; a thread takes every WG-th position.
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
  // The largest, in two levels and not a tree: software drivers compile every barrier dearly
  // (common/reduce.wgsl).
  partial[thread] = top;
  workgroupBarrier();
  if (thread < PARTS) {
    for (var i = thread; i < WG; i += PARTS) { top = max(top, partial[i]); }
    partial[thread] = top;
  }
  workgroupBarrier();
  for (var i = 0u; i < PARTS; i++) { top = max(top, partial[i]); }
  for (var t = thread; t < count; t += WG) { scores[t] = exp(scores[t] - top); }
  workgroupBarrier();

  // Weighted sum; a thread takes eight channels of every `splits`-th position.
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
