// Many queries of one sentence over its cached positions: y = softmax(q · Kᵀ / √head_dim + mask) · V. CAUSAL: query m sees positions up to
// call.start + m; otherwise all call.start + call.count. torch: the attention of a prefill and of the fine model.
// A thread owns a query and meets 8 positions at a time, with the running maximum and sum of FlashAttention (Dao et al. 2022), so that scores
// never leave registers. All threads read the same keys and values at the same time, and there is no barrier.
// Grid: (⌈most queries / 64⌉, heads).
#include "common/attention.wgsl"

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let first = wg.x * 64u;
  let m = first + thread;
  if (m >= call.count) { return; }
  let head = wg.y;
  let chunks = cache.head_dim / 8u;
  let query = (m * cache.heads + head) * 2u * chunks;
  let base = (call.slot * cache.heads + head) * cache.capacity * chunks;
  let scale = inverseSqrt(f32(cache.head_dim));
  // The loop ends where the last query of the workgroup does, so that its bound is the same for all threads.
  let end = select(call.start + call.count, call.start + min(first + 64u, call.count), CAUSAL == 1u);
  let seen = select(end, call.start + m + 1u, CAUSAL == 1u);

  var top = LOWEST;
  var total = 0.0;
  var sums: array<vec4<f32>, 32>; // Σ p · v, the head's channels
  for (var t = 0u; t < end; t += 8u) {
    // Positions past the end read the last one again and weigh nothing.
    let t1 = base + min(t + 1u, end - 1u) * chunks;
    let t2 = base + min(t + 2u, end - 1u) * chunks;
    let t3 = base + min(t + 3u, end - 1u) * chunks;
    let t4 = base + min(t + 4u, end - 1u) * chunks;
    let t5 = base + min(t + 5u, end - 1u) * chunks;
    let t6 = base + min(t + 6u, end - 1u) * chunks;
    let t7 = base + min(t + 7u, end - 1u) * chunks;
    let t0 = base + t * chunks;
    var s = vec4<f32>(0.0); // scores of t … t + 3
    var u = vec4<f32>(0.0); // and of t + 4 … t + 7
    for (var i = 0u; i < chunks; i++) {
      let lo = q[query + 2u * i];
      let hi = q[query + 2u * i + 1u];
      s += vec4<f32>(score(t0 + i, lo, hi), score(t1 + i, lo, hi), score(t2 + i, lo, hi), score(t3 + i, lo, hi));
      u += vec4<f32>(score(t4 + i, lo, hi), score(t5 + i, lo, hi), score(t6 + i, lo, hi), score(t7 + i, lo, hi));
    }
    s = select(vec4<f32>(LOWEST), s * scale, vec4<u32>(t) + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(seen));
    u = select(vec4<f32>(LOWEST), u * scale, vec4<u32>(t) + vec4<u32>(4u, 5u, 6u, 7u) < vec4<u32>(seen));
    let highest = max(s, u);
    let higher = max(max(top, max(highest.x, highest.y)), max(highest.z, highest.w));
    let p = select(vec4<f32>(0.0), exp(s - higher), s > vec4<f32>(LOWEST));
    let r = select(vec4<f32>(0.0), exp(u - higher), u > vec4<f32>(LOWEST));
    let factor = exp(top - higher); // 0 the first time, 1 while the maximum stands
    total = total * factor + dot(p, vec4<f32>(1.0)) + dot(r, vec4<f32>(1.0));
    top = higher;
    for (var i = 0u; i < chunks; i++) {
      let v0 = value8(t0 + i);
      let v1 = value8(t1 + i);
      let v2 = value8(t2 + i);
      let v3 = value8(t3 + i);
      let v4 = value8(t4 + i);
      let v5 = value8(t5 + i);
      let v6 = value8(t6 + i);
      let v7 = value8(t7 + i);
      sums[2u * i] = sums[2u * i] * factor + p.x * v0.lo + p.y * v1.lo + p.z * v2.lo + p.w * v3.lo + r.x * v4.lo + r.y * v5.lo + r.z * v6.lo + r.w * v7.lo;
      sums[2u * i + 1u] = sums[2u * i + 1u] * factor + p.x * v0.hi + p.y * v1.hi + p.z * v2.hi + p.w * v3.hi + r.x * v4.hi + r.y * v5.hi + r.z * v6.hi + r.w * v7.hi;
    }
  }
  for (var i = 0u; i < 2u * chunks; i++) { y[query + i] = sums[i] / total; }
}

/// Eight channels' share of q · k.
fn score(i: u32, lo: vec4<f32>, hi: vec4<f32>) -> f32 {
  let k = key8(i);
  return dot(lo, k.lo) + dot(hi, k.hi);
}
