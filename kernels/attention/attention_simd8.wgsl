// As attention.wgsl, as a variant for drivers that compute on the CPU with subgroups of exactly 8
// lanes (common/gemm_simd8.wgsl says why).
// Grid: (⌈largest M / 64⌉, heads, ⌈D / 64⌉); of more than 64 channels each 64 repeat the scores.
//
// - A subgroup owns 8 queries and takes 32 positions at a time, each lane 4 of them, with the
//   running maximum and sum of FlashAttention (Dao et al. 2022).
// - q · Kᵀ: a lane loads the keys of its positions; queries are shuffled from lane to lane.
// - P · V: a lane owns 8 channels and loads those of 4 positions; probabilities are shuffled.
enable subgroups;
// Loops end with the last position that a subgroup's queries see, which is uniform within the
// subgroup; the uniformity analysis cannot see that.
diagnostic(off, subgroup_uniformity);
#include "attention/bindings.wgsl"
#include "common/simd8.wgsl"
const ROWS = 8u;  // queries of a subgroup
const SPAN = 32u; // positions of a tile

/// The running softmax of one query, in one lane.
struct Row {
  top: f32,      // the largest score so far
  total: f32,    // Σ exp(score − top) over this lane's positions
  lo: vec4<f32>, // Σ p · v of this lane's channels 0 … 3
  hi: vec4<f32>, // the same of its channels 4 … 7
  p: vec4<f32>,  // scores of this lane's four positions, then exp(score − top)
}

/// The row after the scores in its `p`, which are replaced by probabilities: a new maximum, and
/// total and sums scaled to it. Positions from `seen` on weigh nothing.
fn softmax_step(row: Row, scale: f32, position: u32, seen: u32) -> Row {
  let s = select(vec4<f32>(LOWEST), row.p * scale, vec4<u32>(position) + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(seen));
  var top = max(max(s.x, s.y), max(s.z, s.w));
  top = max(top, subgroupShuffleXor(top, 1u));
  top = max(top, subgroupShuffleXor(top, 2u));
  top = max(row.top, max(top, subgroupShuffleXor(top, 4u)));
  let p = select(vec4<f32>(0.0), exp(s - top), s > vec4<f32>(LOWEST));
  let factor = exp(row.top - top); // 0 the first time, 1 while the maximum stays
  return Row(top, row.total * factor + dot(p, vec4<f32>(1.0)), row.lo * factor, row.hi * factor, p);
}

/// The row with Σ p · v of four positions added, whose probabilities are in lane `source`.
fn add(row: Row, source: u32, lo: mat4x4<f32>, hi: mat4x4<f32>) -> Row {
  let p = subgroupShuffle(row.p, source);
  return Row(
    row.top,
    row.total,
    row.lo + p.x * lo[0] + p.y * lo[1] + p.z * lo[2] + p.w * lo[3],
    row.hi + p.x * hi[0] + p.y * hi[1] + p.z * hi[2] + p.w * hi[3],
    row.p);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3<u32>,
        @builtin(subgroup_id) subgroup: u32, @builtin(subgroup_invocation_id) lane: u32) {
  let m = wg.x * 64u + subgroup * ROWS;
  let head = wg.y;
  let chunks = cache.head_dim / 8u;
  let chunk = 8u * wg.z + lane;
  let base = (call.slot * cache.heads + head) * cache.capacity * chunks;
  let scale = inverseSqrt(f32(cache.head_dim));
  // Queries past the last one read it again; they are not stored.
  let last = max(call.count, 1u) - 1u;
  let at_a = 2u * chunks * (min(m + lane / 2u, last) * cache.heads + head) + lane % 2u;
  let at_b = 2u * chunks * (min(m + 4u + lane / 2u, last) * cache.heads + head) + lane % 2u;
  let all = call.start + select(call.count, min(m + ROWS, call.count), CAUSAL == 1u);
  // A subgroup whose queries are all past the end skips the loop.
  let end = select(0u, all, m < call.count);
  var r0 = Row(LOWEST, 0.0, vec4<f32>(), vec4<f32>(), vec4<f32>());
  var r1 = Row(LOWEST, 0.0, vec4<f32>(), vec4<f32>(), vec4<f32>());
  var r2 = Row(LOWEST, 0.0, vec4<f32>(), vec4<f32>(), vec4<f32>());
  var r3 = Row(LOWEST, 0.0, vec4<f32>(), vec4<f32>(), vec4<f32>());
  var r4 = Row(LOWEST, 0.0, vec4<f32>(), vec4<f32>(), vec4<f32>());
  var r5 = Row(LOWEST, 0.0, vec4<f32>(), vec4<f32>(), vec4<f32>());
  var r6 = Row(LOWEST, 0.0, vec4<f32>(), vec4<f32>(), vec4<f32>());
  var r7 = Row(LOWEST, 0.0, vec4<f32>(), vec4<f32>(), vec4<f32>());
  for (var t = 0u; t < end; t += SPAN) {
    let position = t + 4u * lane;
    // Where the keys of this lane's four positions begin. Positions past the end read the last one
    // again; they weigh nothing.
    let k0 = base + min(position, end - 1u) * chunks;
    let k1 = base + min(position + 1u, end - 1u) * chunks;
    let k2 = base + min(position + 2u, end - 1u) * chunks;
    let k3 = base + min(position + 3u, end - 1u) * chunks;
    var s0 = vec4<f32>();
    var s1 = vec4<f32>();
    var s2 = vec4<f32>();
    var s3 = vec4<f32>();
    var s4 = vec4<f32>();
    var s5 = vec4<f32>();
    var s6 = vec4<f32>();
    var s7 = vec4<f32>();
    // Scores: s_i = q_i · Kᵀ, eight channels at a time.
    for (var i = 0u; i < chunks; i++) {
      let a = q[at_a + 2u * i]; // queries m … m + 3
      let b = q[at_b + 2u * i]; // queries m + 4 … m + 7
      let e0 = key8(k0 + i);
      let e1 = key8(k1 + i);
      let e2 = key8(k2 + i);
      let e3 = key8(k3 + i);
      let lo = transpose(mat4x4<f32>(e0.lo, e1.lo, e2.lo, e3.lo));
      let hi = transpose(mat4x4<f32>(e0.hi, e1.hi, e2.hi, e3.hi));
      s0 = quad(quad(s0, a, 0u, lo), a, 1u, hi);
      s1 = quad(quad(s1, a, 2u, lo), a, 3u, hi);
      s2 = quad(quad(s2, a, 4u, lo), a, 5u, hi);
      s3 = quad(quad(s3, a, 6u, lo), a, 7u, hi);
      s4 = quad(quad(s4, b, 0u, lo), b, 1u, hi);
      s5 = quad(quad(s5, b, 2u, lo), b, 3u, hi);
      s6 = quad(quad(s6, b, 4u, lo), b, 5u, hi);
      s7 = quad(quad(s7, b, 6u, lo), b, 7u, hi);
    }
    r0.p = s0;
    r1.p = s1;
    r2.p = s2;
    r3.p = s3;
    r4.p = s4;
    r5.p = s5;
    r6.p = s6;
    r7.p = s7;
    // Mask and softmax: query m + i sees positions up to its own, or all.
    let own = select(end, call.start + m + 1u, CAUSAL == 1u);
    let step = select(0u, 1u, CAUSAL == 1u);
    r0 = softmax_step(r0, scale, position, min(own + 0u * step, end));
    r1 = softmax_step(r1, scale, position, min(own + 1u * step, end));
    r2 = softmax_step(r2, scale, position, min(own + 2u * step, end));
    r3 = softmax_step(r3, scale, position, min(own + 3u * step, end));
    r4 = softmax_step(r4, scale, position, min(own + 4u * step, end));
    r5 = softmax_step(r5, scale, position, min(own + 5u * step, end));
    r6 = softmax_step(r6, scale, position, min(own + 6u * step, end));
    r7 = softmax_step(r7, scale, position, min(own + 7u * step, end));
    // Accumulate P · V, four positions at a time; lane source / 4 holds their probabilities.
    for (var source = 0u; source < min(SPAN, end - t); source += 4u) {
      let at = t + source;
      let c = min(chunk, chunks - 1u);
      let e0 = value8(base + min(at, end - 1u) * chunks + c);
      let e1 = value8(base + min(at + 1u, end - 1u) * chunks + c);
      let e2 = value8(base + min(at + 2u, end - 1u) * chunks + c);
      let e3 = value8(base + min(at + 3u, end - 1u) * chunks + c);
      let lo = mat4x4<f32>(e0.lo, e1.lo, e2.lo, e3.lo);
      let hi = mat4x4<f32>(e0.hi, e1.hi, e2.hi, e3.hi);
      r0 = add(r0, source / 4u, lo, hi);
      r1 = add(r1, source / 4u, lo, hi);
      r2 = add(r2, source / 4u, lo, hi);
      r3 = add(r3, source / 4u, lo, hi);
      r4 = add(r4, source / 4u, lo, hi);
      r5 = add(r5, source / 4u, lo, hi);
      r6 = add(r6, source / 4u, lo, hi);
      r7 = add(r7, source / 4u, lo, hi);
    }
  }
  finish(r0, m + 0u, head, chunk);
  finish(r1, m + 1u, head, chunk);
  finish(r2, m + 2u, head, chunk);
  finish(r3, m + 3u, head, chunk);
  finish(r4, m + 4u, head, chunk);
  finish(r5, m + 5u, head, chunk);
  finish(r6, m + 6u, head, chunk);
  finish(r7, m + 7u, head, chunk);
}

/// Adds a query's total over the lanes, divides, and stores this lane's channels.
fn finish(row: Row, m: u32, head: u32, chunk: u32) {
  let pairs = row.total + subgroupShuffleXor(row.total, 1u);
  let fours = pairs + subgroupShuffleXor(pairs, 2u);
  let total = fours + subgroupShuffleXor(fours, 4u);
  let chunks = cache.head_dim / 8u;
  if (m >= call.count || chunk >= chunks) { return; }
  let at = 2u * ((m * cache.heads + head) * chunks + chunk);
  y[at] = row.lo / total;
  y[at + 1u] = row.hi / total;
}
