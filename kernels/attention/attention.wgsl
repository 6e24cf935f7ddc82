// Attention for many queries of one sentence over its cached positions:
//   y = softmax(q · Kᵀ / √D + mask) · V
// With CAUSAL, query m sees positions up to call.start + m; otherwise every query sees all
// call.start + call.count positions.
// torch: F.scaled_dot_product_attention, in a prefill and in the fine model.
// Algorithm: FlashAttention (Dao et al. 2022).
//
// Shapes: q and y (M, H), keys and values (B, heads, capacity, D), H = heads · D.
// Grid: (⌈largest M / 64⌉, heads, ⌈D / 64⌉); of more than 64 channels each 64 repeat the scores.
// The base file: portable core WGSL, for adapters that no variant suits.
//
// - A workgroup of 128 threads takes 64 queries and KEYS positions at a time, and keeps the running
//   maximum and sum of each query.
// - Both products are tiled like that of common/gemm.wgsl. A thread owns 4 queries: first the
//   scores of 4 positions, then the sums of 8 channels. So a value from workgroup memory serves 4
//   queries, and a thread needs about a hundred registers whatever the size of the head, all at
//   addresses that the compiler knows. (A thread that owned a whole query would need two values per
//   channel, and D is known at run time only, so they would be in memory.)
// - Queries are read from `q` itself: at most 32 KiB, which a workgroup reads again and again.
// - Workgroup memory is 12 KiB (16 for an f32 cache): 64 channels of a tile of keys, which the
//   values then replace, and the scores. Where 8 threads read one column, the vec4s of each row are
//   permuted so that they lie in different banks.
#include "attention/bindings.wgsl"
const KEYS = 32u;            // positions of a tile
const EIGHTS = KEYS * 8u;    // groups of eight channels of a tile: 8 of each position
override TILE: u32 = EIGHTS; // vec4s of a tile: EIGHTS for an f16 cache, twice that for f32

var<workgroup> staged: array<vec4<u32>, TILE>; // (KEYS, 64) of the keys, then of the values
var<workgroup> scores: array<vec4<f32>, 512>;  // (64, KEYS) scores, then probabilities

/// Index in `staged` of eight channels of a position of the tile. The vec4s of a position are
/// permuted so that the 8 threads that read one column hit different banks.
fn place(position: u32, eight: u32) -> u32 { return position * 8u + (eight ^ (position / 4u)); }

/// Eight channels from `staged`, as f32.
fn staged8(i: u32) -> Channels {
  if (CACHE_F32 == 1u) { return Channels(bitcast<vec4<f32>>(staged[i]), bitcast<vec4<f32>>(staged[EIGHTS + i])); }
  return halves(staged[i]);
}

/// s + Σ_i q[i] · k[i], i = 0 … 3.
fn add(s: vec4<f32>, q: vec4<f32>, k: mat4x4<f32>) -> vec4<f32> {
  return s + q.x * k[0] + q.y * k[1] + q.z * k[2] + q.w * k[3];
}

/// The largest component.
fn highest(v: vec4<f32>) -> f32 { return max(max(v.x, v.y), max(v.z, v.w)); }

@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  // With a causal mask the last queries have the most work, so the first workgroups take them.
  let first = select(wg.x, grid.x - 1u - wg.x, CAUSAL == 1u) * 64u;
  if (first >= call.count) { return; }
  let head = wg.y;
  let chunks = cache.head_dim / 8u;
  let base = (call.slot * cache.heads + head) * cache.capacity * chunks;
  let end = call.start + select(call.count, min(first + 64u, call.count), CAUSAL == 1u);
  let scale = inverseSqrt(f32(cache.head_dim));
  let part = thread % 8u; // which 4 positions of a tile, and which 8 of 64 channels
  let four = thread / 8u; // which 4 queries
  let m = first + 4u * four;
  // Queries past the last one read it again; they are not stored.
  let queries = min(vec4<u32>(m) + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(call.count - 1u));
  let rows = (queries * cache.heads + head) * 2u * chunks; // index of their first vec4 in q and y
  // Number of positions that each query sees.
  let own = min(vec4<u32>(end), vec4<u32>(call.start + m) + vec4<u32>(1u, 2u, 3u, 4u));
  let seen = select(vec4<u32>(end), own, CAUSAL == 1u);

  var top = vec4<f32>(LOWEST); // the largest score of each query so far
  var total = vec4<f32>();     // Σ exp(score − top) of each query over this thread's positions
  var lo0 = vec4<f32>();       // Σ p · v of query 0, this thread's channels 0 … 3; hi: 4 … 7
  var lo1 = vec4<f32>();
  var lo2 = vec4<f32>();
  var lo3 = vec4<f32>();
  var hi0 = vec4<f32>();
  var hi1 = vec4<f32>();
  var hi2 = vec4<f32>();
  var hi3 = vec4<f32>();
  for (var t = 0u; t < end; t += KEYS) {
    // Scores: s_i = q_i · Kᵀ for 4 queries and 4 positions, 64 channels at a time.
    var s0 = vec4<f32>();
    var s1 = vec4<f32>();
    var s2 = vec4<f32>();
    var s3 = vec4<f32>();
    for (var slab = 0u; slab < chunks; slab += 8u) {
      if (slab > 0u) { workgroupBarrier(); }
      // Load a tile of keys. Positions past the end read the last one again; they weigh nothing.
      for (var item = thread; item < EIGHTS; item += 128u) {
        let eight = slab + item % 8u;
        if (eight < chunks) {
          let at = base + min(t + item / 8u, end - 1u) * chunks + eight;
          let to = place(item / 8u, item % 8u);
          if (CACHE_F32 == 1u) {
            staged[to] = keys[2u * at];
            staged[EIGHTS + to] = keys[2u * at + 1u];
          } else {
            staged[to] = keys[at];
          }
        }
      }
      workgroupBarrier();
      for (var i = 0u; i < min(8u, chunks - slab); i++) {
        let k0 = staged8(place(4u * part, i));
        let k1 = staged8(place(4u * part + 1u, i));
        let k2 = staged8(place(4u * part + 2u, i));
        let k3 = staged8(place(4u * part + 3u, i));
        let at = rows + 2u * (slab + i);
        let lo = transpose(mat4x4<f32>(k0.lo, k1.lo, k2.lo, k3.lo));
        s0 = add(s0, q[at.x], lo);
        s1 = add(s1, q[at.y], lo);
        s2 = add(s2, q[at.z], lo);
        s3 = add(s3, q[at.w], lo);
        let hi = transpose(mat4x4<f32>(k0.hi, k1.hi, k2.hi, k3.hi));
        s0 = add(s0, q[at.x + 1u], hi);
        s1 = add(s1, q[at.y + 1u], hi);
        s2 = add(s2, q[at.z + 1u], hi);
        s3 = add(s3, q[at.w + 1u], hi);
      }
    }
    // Scale and mask.
    let position = vec4<u32>(t + 4u * part) + vec4<u32>(0u, 1u, 2u, 3u);
    s0 = select(vec4<f32>(LOWEST), s0 * scale, position < vec4<u32>(seen.x));
    s1 = select(vec4<f32>(LOWEST), s1 * scale, position < vec4<u32>(seen.y));
    s2 = select(vec4<f32>(LOWEST), s2 * scale, position < vec4<u32>(seen.z));
    s3 = select(vec4<f32>(LOWEST), s3 * scale, position < vec4<u32>(seen.w));
    scores[32u * four + part] = vec4<f32>(highest(s0), highest(s1), highest(s2), highest(s3));
    workgroupBarrier();

    // Running maximum of each query over the eight threads that share it.
    var higher = top;
    for (var i = 0u; i < 8u; i++) { higher = max(higher, scores[32u * four + i]); }
    // Load the tile of values in place of the keys.
    for (var item = thread; item < EIGHTS; item += 128u) {
      let eight = 8u * wg.z + item % 8u;
      if (eight < chunks) {
        let at = base + min(t + item / 8u, end - 1u) * chunks + eight;
        let to = place(item / 8u, item % 8u);
        if (CACHE_F32 == 1u) {
          staged[to] = values[2u * at];
          staged[EIGHTS + to] = values[2u * at + 1u];
        } else {
          staged[to] = values[at];
        }
      }
    }
    workgroupBarrier();

    // Softmax: probabilities, and what the sums so far are scaled by.
    s0 = select(vec4<f32>(), exp(s0 - higher.x), s0 > vec4<f32>(LOWEST));
    s1 = select(vec4<f32>(), exp(s1 - higher.y), s1 > vec4<f32>(LOWEST));
    s2 = select(vec4<f32>(), exp(s2 - higher.z), s2 > vec4<f32>(LOWEST));
    s3 = select(vec4<f32>(), exp(s3 - higher.w), s3 > vec4<f32>(LOWEST));
    let factor = exp(top - higher); // 0 the first time, 1 while the maximum stays
    let one = vec4<f32>(1.0);
    total = total * factor + vec4<f32>(dot(s0, one), dot(s1, one), dot(s2, one), dot(s3, one));
    top = higher;
    let mine = 32u * four;
    let shift = four % 8u;
    scores[mine + (part ^ shift)] = s0;
    scores[mine + 8u + (part ^ shift)] = s1;
    scores[mine + 16u + (part ^ shift)] = s2;
    scores[mine + 24u + (part ^ shift)] = s3;
    workgroupBarrier();

    // Accumulate P · V.
    lo0 *= factor.x;
    lo1 *= factor.y;
    lo2 *= factor.z;
    lo3 *= factor.w;
    hi0 *= factor.x;
    hi1 *= factor.y;
    hi2 *= factor.z;
    hi3 *= factor.w;
    for (var i = 0u; i < min(KEYS, end - t + 3u) / 4u; i++) {
      let v0 = staged8(place(4u * i, part));
      let v1 = staged8(place(4u * i + 1u, part));
      let v2 = staged8(place(4u * i + 2u, part));
      let v3 = staged8(place(4u * i + 3u, part));
      let lo = mat4x4<f32>(v0.lo, v1.lo, v2.lo, v3.lo);
      let hi = mat4x4<f32>(v0.hi, v1.hi, v2.hi, v3.hi);
      let p0 = scores[mine + (i ^ shift)];
      let p1 = scores[mine + 8u + (i ^ shift)];
      let p2 = scores[mine + 16u + (i ^ shift)];
      let p3 = scores[mine + 24u + (i ^ shift)];
      lo0 = add(lo0, p0, lo);
      lo1 = add(lo1, p1, lo);
      lo2 = add(lo2, p2, lo);
      lo3 = add(lo3, p3, lo);
      hi0 = add(hi0, p0, hi);
      hi1 = add(hi1, p1, hi);
      hi2 = add(hi2, p2, hi);
      hi3 = add(hi3, p3, hi);
    }
    workgroupBarrier();
  }

  // Epilogue: add the totals of the eight threads of a query, divide and store.
  scores[32u * four + part] = total;
  workgroupBarrier();
  total = vec4<f32>();
  for (var i = 0u; i < 8u; i++) { total += scores[32u * four + i]; }
  let eight = 8u * wg.z + part;
  if (eight >= chunks) { return; }
  store(m, rows.x + 2u * eight, lo0, hi0, total.x);
  store(m + 1u, rows.y + 2u * eight, lo1, hi1, total.y);
  store(m + 2u, rows.z + 2u * eight, lo2, hi2, total.z);
  store(m + 3u, rows.w + 2u * eight, lo3, hi3, total.w);
}

/// Writes eight channels of query m, divided by the total of its probabilities.
fn store(m: u32, at: u32, lo: vec4<f32>, hi: vec4<f32>, total: f32) {
  if (m >= call.count) { return; }
  y[at] = lo / total;
  y[at + 1u] = hi / total;
}
