// As attention.wgsl, as a variant on the subgroup's matrix unit (common/subgroup_matrix.wgsl says
// which adapters). Both products multiply f16 matrices with f32 sums, over tiles of KEYS positions;
// softmax is f32. Queries (after they are scaled) and probabilities are rounded to f16, so it is
// chosen only where the cache is f16.
// Grid: (⌈largest M / ROWS⌉, heads)
//
// - A workgroup owns ROWS queries of a head, each subgroup MATRIX_M of them.
// - Elements of a matrix cannot be addressed, so scores pass through workgroup memory, where
//   PER_ROW lanes share a row. Probabilities replace the scores that they are made of: a block of
//   MATRIX_K scores becomes as many halves in the first half of its room.
// - Sums of P · V stay in matrices from the first tile to the last. To scale them in each tile,
//   they would have to pass through workgroup memory too (a quarter more traffic). So probabilities
//   are taken against a reference that moves only when a row's scores exceed it by more than LAG,
//   for which f16 has room above 1. For most inputs the reference never moves after the first tile.
// - Workgroup memory holds a tile of keys, which the values replace when the scores are computed,
//   and the scores. The next tile is loaded into registers while this one is multiplied. Rows are
//   one vec4 longer than needed, so that rows of a matrix lie in different banks.
// - Keys and values past the end, and channels past the head's, are read as zeros: the cache may
//   hold NaN there, and 0 · NaN is NaN.
enable f16;
enable subgroups;
enable subgroup_size_control;
enable chromium_experimental_subgroup_matrix;
#include "common/call.wgsl"
#include "common/cache.wgsl"
@group(0) @binding(0) var<uniform>             cache: Cache;
@group(0) @binding(1) var<uniform>             call: Call;
@group(0) @binding(2) var<storage, read>       q: array<vec4<f32>>;      // (M, H)
@group(0) @binding(3) var<storage, read>       keys: array<vec4<u32>>;   // (B, heads, capacity, D), f16
@group(0) @binding(4) var<storage, read>       values: array<vec4<u32>>; // (B, heads, capacity, D), f16
@group(0) @binding(5) var<storage, read_write> y: array<vec4<f32>>;      // (M, H)
#include "common/subgroup_matrix.wgsl"
override CAUSAL: u32 = 1u; // 1: query m sees positions up to call.start + m; 0: it sees all
const LOWEST = -3.4e38;    // stands for −∞, which fast-math drivers assume not to exist
// The next three are replaced in the text (kernels/common/subgroup_matrix.ts,
// subgroupMatrixShader), because the sizes of arrays in registers depend on them.
const HEAD_DIM = 64u; // D
const ROWS = 64u;     // queries of a workgroup, a multiple of MATRIX_M
const KEYS = 64u;     // positions of a tile, a multiple of MATRIX_N, and of MATRIX_K · PER_ROW
const THREADS = ROWS / MATRIX_M * SUBGROUP;
const PER_ROW = SUBGROUP / MATRIX_M; // lanes that share a row of scores
// D rounded up to whole matrices.
const CHANNELS = (HEAD_DIM + max(MATRIX_N, MATRIX_K) - 1u) / max(MATRIX_N, MATRIX_K) * max(MATRIX_N, MATRIX_K);
// Layout of `staged`, in vec4s.
const TILE_ROW = CHANNELS / 8u + 1u; // from one position of a tile to the next
const SCORES = KEYS * TILE_ROW;      // where the scores begin
const SCORE_ROW = KEYS / 4u + 1u;    // from one query's scores to the next
const SUM_ROW = CHANNELS / 4u + 1u;  // from one query's sums to the next
// Chunks of 8 channels of a tile that a thread loads.
const SHARE = (KEYS * CHANNELS / 8u + THREADS - 1u) / THREADS;
const STEPS = CHANNELS / MATRIX_K;   // matrices of a query, along its channels: at most 8
const COLUMNS = CHANNELS / MATRIX_N; // matrices of sums of a query: at most 8
const ACROSS = KEYS / MATRIX_N;      // matrices of scores of a query: at most 4
const LAG = 8.0;                     // how far scores may exceed the reference before it moves

var<workgroup> staged: array<vec4<u32>, max(ROWS * SUM_ROW, SCORES + ROWS * SCORE_ROW)>;
var<workgroup> grown: atomic<u32>; // 1: the reference of some row has moved

/// Chunk `item` of the tile of keys that starts at position t; zeros past `end` and past the head.
fn key_chunk(base: u32, t: u32, end: u32, item: u32) -> vec4<u32> {
  let row = t + item / (CHANNELS / 8u);
  let chunk = item % (CHANNELS / 8u);
  if (row < end && chunk < HEAD_DIM / 8u) { return keys[base + row * (HEAD_DIM / 8u) + chunk]; }
  return vec4<u32>();
}

/// The same of the values.
fn value_chunk(base: u32, t: u32, end: u32, item: u32) -> vec4<u32> {
  let row = t + item / (CHANNELS / 8u);
  let chunk = item % (CHANNELS / 8u);
  if (row < end && chunk < HEAD_DIM / 8u) { return values[base + row * (HEAD_DIM / 8u) + chunk]; }
  return vec4<u32>();
}

/// Index in `staged` of chunk `item` of a tile.
fn place(item: u32) -> u32 { return item / (CHANNELS / 8u) * TILE_ROW + item % (CHANNELS / 8u); }

/// A matrix of sums that `put` stored with a stride of SUM_ROW.
fn take(at: u32) -> Sum { return subgroupMatrixLoad<Sum, row_major>(&staged, at, SUM_ROW); }

/// Matrix j of scores with the products of MATRIX_K channels from k · MATRIX_K on added.
fn score(j: u32, k: u32, query: Left, sum: Sum) -> Sum {
  return multiply(query, right(j * MATRIX_N * TILE_ROW + k * (MATRIX_K / 8u), TILE_ROW), sum);
}

/// Matrix n of sums with the products of MATRIX_K positions from k · MATRIX_K on added.
fn weigh(n: u32, k: u32, p: Left, sum: Sum) -> Sum {
  return multiply(p, right_rows(k * MATRIX_K * TILE_ROW + n * (MATRIX_N / 8u), TILE_ROW), sum);
}

@compute @workgroup_size(THREADS) @subgroup_size(SUBGROUP)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
        @builtin(subgroup_id) subgroup: u32, @builtin(subgroup_invocation_id) lane: u32) {
  // With a causal mask the last queries have the most work, so the first workgroups take them.
  let first = select(wg.x, grid.x - 1u - wg.x, CAUSAL == 1u) * ROWS;
  if (first >= call.count) { return; }
  let head = wg.y;
  let thread = subgroup * SUBGROUP + lane;
  let base = (call.slot * cache.heads + head) * cache.capacity * (HEAD_DIM / 8u);
  let end = call.start + select(call.count, min(first + ROWS, call.count), CAUSAL == 1u);

  // Load the queries, scaled (exact where √D is a power of two), and keep them in matrices.
  let scale = inverseSqrt(f32(HEAD_DIM));
  for (var item = thread; item < ROWS * (CHANNELS / 8u); item += THREADS) {
    let m = first + item / (CHANNELS / 8u);
    let chunk = item % (CHANNELS / 8u);
    var lo = vec4<f32>();
    var hi = vec4<f32>();
    if (m < call.count && chunk < HEAD_DIM / 8u) {
      let at = 2u * ((m * cache.heads + head) * (HEAD_DIM / 8u) + chunk);
      lo = scale * q[at];
      hi = scale * q[at + 1u];
    }
    staged[place(item)] = halves(lo, hi);
  }
  workgroupBarrier();
  let own = subgroup * MATRIX_M * TILE_ROW;
  let q0 = left(own, TILE_ROW);
  var q1 = Left(); var q2 = Left(); var q3 = Left(); var q4 = Left();
  var q5 = Left(); var q6 = Left(); var q7 = Left();
  if (STEPS > 1u) { q1 = left(own + MATRIX_K / 8u, TILE_ROW); }
  if (STEPS > 2u) { q2 = left(own + 2u * (MATRIX_K / 8u), TILE_ROW); }
  if (STEPS > 3u) { q3 = left(own + 3u * (MATRIX_K / 8u), TILE_ROW); }
  if (STEPS > 4u) { q4 = left(own + 4u * (MATRIX_K / 8u), TILE_ROW); }
  if (STEPS > 5u) { q5 = left(own + 5u * (MATRIX_K / 8u), TILE_ROW); }
  if (STEPS > 6u) { q6 = left(own + 6u * (MATRIX_K / 8u), TILE_ROW); }
  if (STEPS > 7u) { q7 = left(own + 7u * (MATRIX_K / 8u), TILE_ROW); }
  workgroupBarrier();

  // This lane's share of the softmax: of one row, blocks part, part + PER_ROW, … of MATRIX_K
  // scores.
  let row = subgroup * MATRIX_M + lane / PER_ROW;
  let part = lane % PER_ROW;
  let mine = SCORES + subgroup * MATRIX_M * SCORE_ROW; // this subgroup's scores in `staged`
  let sums = subgroup * MATRIX_M * SUM_ROW;            // its sums, when they replace all else in `staged`
  let seen = select(end, min(end, call.start + first + row + 1u), CAUSAL == 1u);
  var reference = LOWEST; // what this row's probabilities are taken against
  var total = 0.0;        // Σ exp(score − reference) over this lane's scores
  // Σ p · v, MATRIX_N channels each.
  var s0 = Sum(); var s1 = Sum(); var s2 = Sum(); var s3 = Sum();
  var s4 = Sum(); var s5 = Sum(); var s6 = Sum(); var s7 = Sum();
  var ahead: array<vec4<u32>, SHARE>; // this thread's share of the next tile
  for (var i = 0u; i < SHARE; i++) { ahead[i] = key_chunk(base, 0u, end, thread + i * THREADS); }

  for (var t = 0u; t < end; t += KEYS) {
    // Store the tile of keys, and start to load the values.
    for (var i = 0u; i < SHARE; i++) {
      if (thread + i * THREADS < KEYS * (CHANNELS / 8u)) { staged[place(thread + i * THREADS)] = ahead[i]; }
    }
    if (thread == 0u) { atomicStore(&grown, 0u); }
    workgroupBarrier();
    for (var i = 0u; i < SHARE; i++) { ahead[i] = value_chunk(base, t, end, thread + i * THREADS); }

    // Scores: c_j = Q · K_jᵀ.
    var c0 = Sum(); var c1 = Sum(); var c2 = Sum(); var c3 = Sum();
    c0 = score(0u, 0u, q0, c0); if (ACROSS > 1u) { c1 = score(1u, 0u, q0, c1); }
    if (ACROSS > 2u) { c2 = score(2u, 0u, q0, c2); c3 = score(3u, 0u, q0, c3); }
    if (STEPS > 1u) {
      c0 = score(0u, 1u, q1, c0); if (ACROSS > 1u) { c1 = score(1u, 1u, q1, c1); }
      if (ACROSS > 2u) { c2 = score(2u, 1u, q1, c2); c3 = score(3u, 1u, q1, c3); }
    }
    if (STEPS > 2u) {
      c0 = score(0u, 2u, q2, c0); if (ACROSS > 1u) { c1 = score(1u, 2u, q2, c1); }
      if (ACROSS > 2u) { c2 = score(2u, 2u, q2, c2); c3 = score(3u, 2u, q2, c3); }
    }
    if (STEPS > 3u) {
      c0 = score(0u, 3u, q3, c0); if (ACROSS > 1u) { c1 = score(1u, 3u, q3, c1); }
      if (ACROSS > 2u) { c2 = score(2u, 3u, q3, c2); c3 = score(3u, 3u, q3, c3); }
    }
    if (STEPS > 4u) {
      c0 = score(0u, 4u, q4, c0); if (ACROSS > 1u) { c1 = score(1u, 4u, q4, c1); }
      if (ACROSS > 2u) { c2 = score(2u, 4u, q4, c2); c3 = score(3u, 4u, q4, c3); }
    }
    if (STEPS > 5u) {
      c0 = score(0u, 5u, q5, c0); if (ACROSS > 1u) { c1 = score(1u, 5u, q5, c1); }
      if (ACROSS > 2u) { c2 = score(2u, 5u, q5, c2); c3 = score(3u, 5u, q5, c3); }
    }
    if (STEPS > 6u) {
      c0 = score(0u, 6u, q6, c0); if (ACROSS > 1u) { c1 = score(1u, 6u, q6, c1); }
      if (ACROSS > 2u) { c2 = score(2u, 6u, q6, c2); c3 = score(3u, 6u, q6, c3); }
    }
    if (STEPS > 7u) {
      c0 = score(0u, 7u, q7, c0); if (ACROSS > 1u) { c1 = score(1u, 7u, q7, c1); }
      if (ACROSS > 2u) { c2 = score(2u, 7u, q7, c2); c3 = score(3u, 7u, q7, c3); }
    }
    put(mine, c0, SCORE_ROW);
    if (ACROSS > 1u) { put(mine + MATRIX_N / 4u, c1, SCORE_ROW); }
    if (ACROSS > 2u) {
      put(mine + 2u * (MATRIX_N / 4u), c2, SCORE_ROW); put(mine + 3u * (MATRIX_N / 4u), c3, SCORE_ROW);
    }
    workgroupBarrier();

    // Mask, and the largest score of the row.
    var p: array<vec4<f32>, KEYS / PER_ROW / 4u>; // scores, then probabilities
    var tops = vec4<f32>(LOWEST);
    for (var b = 0u; b < KEYS / MATRIX_K / PER_ROW; b++) {
      let block = part + b * PER_ROW;
      for (var c = 0u; c < MATRIX_K / 4u; c++) {
        let position = t + block * MATRIX_K + 4u * c;
        let s = bitcast<vec4<f32>>(staged[SCORES + row * SCORE_ROW + block * (MATRIX_K / 4u) + c]);
        p[b * (MATRIX_K / 4u) + c] =
          select(vec4<f32>(LOWEST), s, vec4<u32>(position) + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(seen));
        tops = max(tops, p[b * (MATRIX_K / 4u) + c]);
      }
    }
    var top = max(max(tops.x, tops.y), max(tops.z, tops.w));
    for (var x = 1u; x < PER_ROW; x *= 2u) { top = max(top, subgroupShuffleXor(top, x)); }
    // Move the reference if the row has outgrown it, and then scale the sums of all rows.
    var factor = 1.0;
    if (top > reference + LAG) {
      factor = exp(reference - top); // 0 the first time
      reference = top;
      if (t > 0u) { atomicStore(&grown, 1u); }
    }
    total *= factor;
    if (workgroupUniformLoad(&grown) == 1u) { // workgroupUniformLoad is also a barrier
      put(sums, s0, SUM_ROW);
      if (COLUMNS > 1u) { put(sums + MATRIX_N / 4u, s1, SUM_ROW); }
      if (COLUMNS > 2u) { put(sums + 2u * (MATRIX_N / 4u), s2, SUM_ROW); }
      if (COLUMNS > 3u) { put(sums + 3u * (MATRIX_N / 4u), s3, SUM_ROW); }
      if (COLUMNS > 4u) { put(sums + 4u * (MATRIX_N / 4u), s4, SUM_ROW); }
      if (COLUMNS > 5u) { put(sums + 5u * (MATRIX_N / 4u), s5, SUM_ROW); }
      if (COLUMNS > 6u) { put(sums + 6u * (MATRIX_N / 4u), s6, SUM_ROW); }
      if (COLUMNS > 7u) { put(sums + 7u * (MATRIX_N / 4u), s7, SUM_ROW); }
      workgroupBarrier();
      for (var c = part; c < CHANNELS / 4u; c += PER_ROW) {
        staged[row * SUM_ROW + c] = bitcast<vec4<u32>>(bitcast<vec4<f32>>(staged[row * SUM_ROW + c]) * factor);
      }
      workgroupBarrier();
      s0 = take(sums);
      if (COLUMNS > 1u) { s1 = take(sums + MATRIX_N / 4u); }
      if (COLUMNS > 2u) { s2 = take(sums + 2u * (MATRIX_N / 4u)); }
      if (COLUMNS > 3u) { s3 = take(sums + 3u * (MATRIX_N / 4u)); }
      if (COLUMNS > 4u) { s4 = take(sums + 4u * (MATRIX_N / 4u)); }
      if (COLUMNS > 5u) { s5 = take(sums + 5u * (MATRIX_N / 4u)); }
      if (COLUMNS > 6u) { s6 = take(sums + 6u * (MATRIX_N / 4u)); }
      if (COLUMNS > 7u) { s7 = take(sums + 7u * (MATRIX_N / 4u)); }
      workgroupBarrier();
    }
    // Softmax: probabilities in f16, in place of the scores.
    for (var b = 0u; b < KEYS / MATRIX_K / PER_ROW; b++) {
      for (var c = 0u; c < MATRIX_K / 4u; c += 2u) {
        let s = p[b * (MATRIX_K / 4u) + c];
        let u = p[b * (MATRIX_K / 4u) + c + 1u];
        let lo = select(vec4<f32>(), exp(s - reference), s > vec4<f32>(LOWEST));
        let hi = select(vec4<f32>(), exp(u - reference), u > vec4<f32>(LOWEST));
        total += dot(lo, vec4<f32>(1.0)) + dot(hi, vec4<f32>(1.0));
        staged[SCORES + row * SCORE_ROW + (part + b * PER_ROW) * (MATRIX_K / 4u) + c / 2u] =
          vec4<u32>(pack2x16float(lo.xy), pack2x16float(lo.zw), pack2x16float(hi.xy), pack2x16float(hi.zw));
      }
    }
    // Store the tile of values, and start to load the next keys.
    for (var i = 0u; i < SHARE; i++) {
      if (thread + i * THREADS < KEYS * (CHANNELS / 8u)) { staged[place(thread + i * THREADS)] = ahead[i]; }
    }
    workgroupBarrier();
    for (var i = 0u; i < SHARE; i++) { ahead[i] = key_chunk(base, t + KEYS, end, thread + i * THREADS); }

    // Accumulate P · V.
    for (var k = 0u; k < KEYS / MATRIX_K; k++) {
      let weights = left(mine + k * (MATRIX_K / 4u), SCORE_ROW);
      s0 = weigh(0u, k, weights, s0);
      if (COLUMNS > 1u) { s1 = weigh(1u, k, weights, s1); }
      if (COLUMNS > 2u) { s2 = weigh(2u, k, weights, s2); }
      if (COLUMNS > 3u) { s3 = weigh(3u, k, weights, s3); }
      if (COLUMNS > 4u) { s4 = weigh(4u, k, weights, s4); }
      if (COLUMNS > 5u) { s5 = weigh(5u, k, weights, s5); }
      if (COLUMNS > 6u) { s6 = weigh(6u, k, weights, s6); }
      if (COLUMNS > 7u) { s7 = weigh(7u, k, weights, s7); }
    }
    workgroupBarrier();
  }

  // Epilogue: add the lanes' totals, divide and store.
  for (var x = 1u; x < PER_ROW; x *= 2u) { total += subgroupShuffleXor(total, x); }
  put(sums, s0, SUM_ROW);
  if (COLUMNS > 1u) { put(sums + MATRIX_N / 4u, s1, SUM_ROW); }
  if (COLUMNS > 2u) { put(sums + 2u * (MATRIX_N / 4u), s2, SUM_ROW); }
  if (COLUMNS > 3u) { put(sums + 3u * (MATRIX_N / 4u), s3, SUM_ROW); }
  if (COLUMNS > 4u) { put(sums + 4u * (MATRIX_N / 4u), s4, SUM_ROW); }
  if (COLUMNS > 5u) { put(sums + 5u * (MATRIX_N / 4u), s5, SUM_ROW); }
  if (COLUMNS > 6u) { put(sums + 6u * (MATRIX_N / 4u), s6, SUM_ROW); }
  if (COLUMNS > 7u) { put(sums + 7u * (MATRIX_N / 4u), s7, SUM_ROW); }
  workgroupBarrier();
  if (first + row >= call.count) { return; }
  let out = ((first + row) * cache.heads + head) * (HEAD_DIM / 4u);
  for (var c = part; c < HEAD_DIM / 4u; c += PER_ROW) {
    y[out + c] = bitcast<vec4<f32>>(staged[row * SUM_ROW + c]) / total;
  }
}
