// As attention_decode.wgsl, as a variant for adapters with subgroups of at least D / 8 lanes
// (rounded up to a power of two).
// Grid: (heads, B)
//
// - One pass over the positions with the running maximum and sum of FlashAttention (Dao et al.
//   2022), so that scores stay in registers and there is one barrier.
// - A group of LANES lanes of a subgroup shares a position, eight channels each: one load of 16
//   bytes of an f16 cache.
// - A group takes four positions at a time and starts all their loads together. A head is one
//   workgroup, and these loads are all that it has in flight to hide the latency of memory.
enable subgroups;
#include "attention/bindings_decode.wgsl"
override WG: u32 = 64u;
// A power of two, at least D / 8, at most the adapter's smallest subgroup size.
override LANES: u32 = 8u;
override SUBGROUPS: u32 = 8u; // the largest number of subgroups that a workgroup may have
override PARTS: u32 = SUBGROUPS * LANES * 8u;
const LOWEST = -3.4e38;       // stands for −∞, which fast-math drivers assume not to exist

var<workgroup> tops: array<f32, SUBGROUPS>;   // the largest score of each subgroup
var<workgroup> totals: array<f32, SUBGROUPS>; // Σ exp(score − top)
var<workgroup> parts: array<f32, PARTS>;      // [subgroup][channel] Σ p · v

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) thread: u32,
        @builtin(subgroup_id) subgroup: u32, @builtin(num_subgroups) subgroups: u32,
        @builtin(subgroup_invocation_id) invocation: u32, @builtin(subgroup_size) size: u32) {
  let head = wg.x;
  let b = wg.y;
  if (state[b].done == 1u) { return; }
  let count = min(state[b].position + 1u, cache.capacity);
  let chunks = cache.head_dim / 8u;
  let lane = invocation % LANES;
  let chunk = min(lane, chunks - 1u);
  let base = (b * cache.heads + head) * cache.capacity * chunks + chunk;
  let groups = subgroups * (size / LANES);
  let group = subgroup * (size / LANES) + invocation / LANES;

  // Load the query, scaled. Lanes past the last channel read what the last one reads and add
  // nothing to a score.
  let scale = select(0.0, inverseSqrt(f32(cache.head_dim)), lane < chunks);
  let query = (b * cache.heads + head) * chunks + chunk;
  let q_lo = scale * q[2u * query];
  let q_hi = scale * q[2u * query + 1u];
  var top = LOWEST;
  var total = 0.0;
  var lo = vec4<f32>(0.0);
  var hi = vec4<f32>(0.0);
  for (var first = 0u; first < count; first += 4u * groups) {
    let t = first + group + groups * vec4<u32>(0u, 1u, 2u, 3u);
    // Load keys and values of four positions. Positions past the end read the last one again; they
    // weigh nothing.
    let at = base + chunks * min(t, vec4<u32>(count - 1u));
    let k0 = key8(at.x);
    let k1 = key8(at.y);
    let k2 = key8(at.z);
    let k3 = key8(at.w);
    let v0 = value8(at.x);
    let v1 = value8(at.y);
    let v2 = value8(at.z);
    let v3 = value8(at.w);
    // Scores of the four positions, summed over the lanes that share them.
    var s = vec4<f32>(
      dot(q_lo, k0.lo) + dot(q_hi, k0.hi), dot(q_lo, k1.lo) + dot(q_hi, k1.hi),
      dot(q_lo, k2.lo) + dot(q_hi, k2.hi), dot(q_lo, k3.lo) + dot(q_hi, k3.hi));
    for (var other = 1u; other < LANES; other *= 2u) { s += subgroupShuffleXor(s, other); }
    s = select(vec4<f32>(LOWEST), s, t < vec4<u32>(count));
    // Softmax with a running maximum.
    let higher = max(max(top, max(s.x, s.y)), max(s.z, s.w));
    let p = select(vec4<f32>(0.0), exp(s - higher), s > vec4<f32>(LOWEST));
    let factor = exp(top - higher); // 0 the first time, 1 while the maximum stays
    total = total * factor + dot(p, vec4<f32>(1.0));
    // Accumulate P · V.
    lo = lo * factor + p.x * v0.lo + p.y * v1.lo + p.z * v2.lo + p.w * v3.lo;
    hi = hi * factor + p.x * v0.hi + p.y * v1.hi + p.z * v2.hi + p.w * v3.hi;
    top = higher;
  }

  // Merge the groups of a subgroup, then (below) the subgroups. A group that had no position has a
  // total of 0.
  for (var other = LANES; other < size; other *= 2u) {
    let higher = max(top, subgroupShuffleXor(top, other));
    let factor = exp(top - higher);
    top = higher;
    total *= factor;
    lo *= factor;
    hi *= factor;
    total += subgroupShuffleXor(total, other);
    lo += subgroupShuffleXor(lo, other);
    hi += subgroupShuffleXor(hi, other);
  }
  if (invocation < LANES) {
    let to = (subgroup * LANES + lane) * 8u;
    for (var i = 0u; i < 4u; i++) {
      parts[to + i] = lo[i];
      parts[to + i + 4u] = hi[i];
    }
    if (lane == 0u) {
      tops[subgroup] = top;
      totals[subgroup] = total;
    }
  }
  workgroupBarrier();

  // Epilogue: merge the subgroups, divide and store.
  for (var channel = thread; channel < cache.head_dim; channel += WG) {
    var highest = LOWEST;
    for (var s = 0u; s < subgroups; s++) { highest = max(highest, tops[s]); }
    var sum = 0.0;
    var weight = 0.0;
    for (var s = 0u; s < subgroups; s++) {
      let factor = exp(tops[s] - highest);
      weight += totals[s] * factor;
      sum += parts[s * LANES * 8u + channel] * factor;
    }
    y[(b * cache.heads + head) * cache.head_dim + channel] = sum / weight;
  }
}
