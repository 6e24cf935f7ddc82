// GEMM as common/gemm.wgsl on the subgroup's matrix unit (common/subgroup_matrix.wgsl says which
// adapters): out[m, n] = Σ_k a[m, k] · W[n, k], a rounded to f16, W stored as f16, sums in f32.
//
// - A workgroup is SUBGROUPS_M × SUBGROUPS_N subgroups, each with DOWN × ACROSS matrices of sums in
//   registers.
// - Operands pass through workgroup memory, a tile of 32 columns at a time. The next tile is loaded
//   into registers before this one is multiplied, and stored in workgroup memory after that, in the
//   other of two buffers if both fit.
// - A row of a tile is 4 vec4s and one of padding, so that eight rows that are read together lie in
//   different banks.
// - The sums are named variables and not an array, because a driver that does not unroll a loop
//   over an array would keep it in memory.
//
// The file that includes this declares x (M, K), w (N, K), `sizes` and `call`, where N is a
// multiple of 4, and defines
//   store(m, n, value)   writes out[m, n … n+3]; n is a multiple of 4 and may pass N − 1
#include "common/subgroup_matrix.wgsl"
// Replaced in the text, like those of common/subgroup_matrix.wgsl.
const SUBGROUPS_M = 2u; // subgroups one below the other
const SUBGROUPS_N = 4u; // subgroups beside each other
const DOWN = 2u;        // matrices of sums of a subgroup one below the other: 2 or 4
const ACROSS = 2u;      // the same beside each other: 2 or 4
const BUFFERS = 2u;     // tiles in workgroup memory: 1 or 2

const SUBGROUPS = SUBGROUPS_M * SUBGROUPS_N;
const THREADS = SUBGROUP * SUBGROUPS;
const TILE_M = SUBGROUPS_M * DOWN * MATRIX_M;        // rows of a, of a workgroup
const TILE_N = SUBGROUPS_N * ACROSS * MATRIX_N;      // rows of W, of a workgroup
const EIGHTS = 4u;                                   // vec4s of eight halves of a row in a tile: 32 columns
const ROW = EIGHTS + 1u;                             // vec4s from one row of a tile to the next
const BUFFER = (TILE_M + TILE_N) * ROW;              // vec4s of a tile: rows of a, then rows of W
const EIGHTS_A = TILE_M * EIGHTS;
const EIGHTS_W = TILE_N * EIGHTS;
const SHARE_A = (EIGHTS_A + THREADS - 1u) / THREADS; // eights of a that a thread loads
const SHARE_W = (EIGHTS_W + THREADS - 1u) / THREADS; // eights of W that a thread loads
const QUADS = MATRIX_N / 4u;                         // vec4s of a row of sums
const QUAD_ROW = QUADS + 1u;                         // the same with padding
const OUT = MATRIX_M * QUAD_ROW;                     // vec4s of a matrix of sums in the epilogue

var<workgroup> staged: array<vec4<u32>, max(BUFFERS * BUFFER, SUBGROUPS * OUT)>;

/// What a thread carries from memory to workgroup memory. Values of a are converted to f16 only
/// when they are stored there, so that no instruction waits for the load before that.
struct Load {
  lo: array<vec4<f32>, SHARE_A>,
  hi: array<vec4<f32>, SHARE_A>,
  w: array<vec4<u32>, SHARE_W>,
}

/// Loads this thread's share of a tile of both operands, columns 8 · eight … 8 · eight + 31; zeros
/// past K. Rows past the end read the last one again; they are not stored.
fn load(tile_m: u32, tile_n: u32, eight: u32, thread: u32) -> Load {
  var l = Load();
  let eights = sizes.k / 8u;
  for (var i = 0u; i < SHARE_A; i++) {
    let item = thread + i * THREADS;
    let k = eight + item % EIGHTS;
    let m = min(tile_m * TILE_M + item / EIGHTS, call.count - 1u);
    if (k < eights) {
      l.lo[i] = x[2u * (m * eights + k)];
      l.hi[i] = x[2u * (m * eights + k) + 1u];
    }
  }
  for (var i = 0u; i < SHARE_W; i++) {
    let item = thread + i * THREADS;
    let k = eight + item % EIGHTS;
    let n = min(tile_n * TILE_N + item / EIGHTS, sizes.n - 1u);
    if (k < eights) { l.w[i] = w[n * eights + k]; }
  }
  return l;
}

/// Stores a loaded share in the buffer at `at`.
fn put_down(l: Load, at: u32, thread: u32) {
  for (var i = 0u; i < SHARE_A; i++) {
    let item = thread + i * THREADS;
    if (item < EIGHTS_A) { staged[at + item / EIGHTS * ROW + item % EIGHTS] = halves(l.lo[i], l.hi[i]); }
  }
  for (var i = 0u; i < SHARE_W; i++) {
    let item = thread + i * THREADS;
    if (item < EIGHTS_W) { staged[at + (TILE_M + item / EIGHTS) * ROW + item % EIGHTS] = l.w[i]; }
  }
}

/// Computes tile (tile_m, tile_n) of the outputs and gives each four of them to `store`.
fn gemm(tile_m: u32, tile_n: u32, subgroup: u32, thread: u32) {
  let eights = sizes.k / 8u;
  // This subgroup's first row of a and first row of W within the tile.
  let rows = subgroup / SUBGROUPS_N * DOWN * MATRIX_M;
  let columns = subgroup % SUBGROUPS_N * ACROSS * MATRIX_N;
  var c00 = Sum(); var c01 = Sum(); var c02 = Sum(); var c03 = Sum();
  var c10 = Sum(); var c11 = Sum(); var c12 = Sum(); var c13 = Sum();
  var c20 = Sum(); var c21 = Sum(); var c22 = Sum(); var c23 = Sum();
  var c30 = Sum(); var c31 = Sum(); var c32 = Sum(); var c33 = Sum();
  var at = 0u;
  put_down(load(tile_m, tile_n, 0u, thread), at, thread);
  workgroupBarrier();
  for (var eight = 0u; eight < eights; eight += EIGHTS) {
    // Load the next tile into registers.
    let next = load(tile_m, tile_n, eight + EIGHTS, thread);
    // Multiply and accumulate this one.
    for (var k = 0u; k < EIGHTS; k += MATRIX_K / 8u) {
      let a = at + rows * ROW + k;
      let b = at + (TILE_M + columns) * ROW + k;
      let a0 = left(a, ROW);
      let a1 = left(a + MATRIX_M * ROW, ROW);
      var a2 = Left();
      var a3 = Left();
      if (DOWN == 4u) {
        a2 = left(a + 2u * MATRIX_M * ROW, ROW);
        a3 = left(a + 3u * MATRIX_M * ROW, ROW);
      }
      let b0 = right(b, ROW);
      c00 = multiply(a0, b0, c00); c10 = multiply(a1, b0, c10);
      if (DOWN == 4u) { c20 = multiply(a2, b0, c20); c30 = multiply(a3, b0, c30); }
      let b1 = right(b + MATRIX_N * ROW, ROW);
      c01 = multiply(a0, b1, c01); c11 = multiply(a1, b1, c11);
      if (DOWN == 4u) { c21 = multiply(a2, b1, c21); c31 = multiply(a3, b1, c31); }
      if (ACROSS == 4u) {
        let b2 = right(b + 2u * MATRIX_N * ROW, ROW);
        c02 = multiply(a0, b2, c02); c12 = multiply(a1, b2, c12);
        if (DOWN == 4u) { c22 = multiply(a2, b2, c22); c32 = multiply(a3, b2, c32); }
        let b3 = right(b + 3u * MATRIX_N * ROW, ROW);
        c03 = multiply(a0, b3, c03); c13 = multiply(a1, b3, c13);
        if (DOWN == 4u) { c23 = multiply(a2, b3, c23); c33 = multiply(a3, b3, c33); }
      }
    }
    // Store the next tile, in the other buffer if there are two.
    if (BUFFERS == 2u) { at = BUFFER - at; } else { workgroupBarrier(); }
    put_down(next, at, thread);
    workgroupBarrier();
  }
  // Epilogue. Sums pass through workgroup memory, one matrix of each subgroup at a time, so that
  // `store` stands in the code once. The bound is a runtime value (DOWN · ACROSS ≤ K always) so that
  // the driver cannot unroll the loop.
  let end = min(DOWN * ACROSS, sizes.k);
  for (var i = 0u; i < end; i++) {
    let out = subgroup * OUT;
    switch (4u * (i % DOWN) + i / DOWN) {
      case 0u: { put(out, c00, QUAD_ROW); }
      case 1u: { put(out, c01, QUAD_ROW); }
      case 2u: { put(out, c02, QUAD_ROW); }
      case 3u: { put(out, c03, QUAD_ROW); }
      case 4u: { put(out, c10, QUAD_ROW); }
      case 5u: { put(out, c11, QUAD_ROW); }
      case 6u: { put(out, c12, QUAD_ROW); }
      case 7u: { put(out, c13, QUAD_ROW); }
      case 8u: { put(out, c20, QUAD_ROW); }
      case 9u: { put(out, c21, QUAD_ROW); }
      case 10u: { put(out, c22, QUAD_ROW); }
      case 11u: { put(out, c23, QUAD_ROW); }
      case 12u: { put(out, c30, QUAD_ROW); }
      case 13u: { put(out, c31, QUAD_ROW); }
      case 14u: { put(out, c32, QUAD_ROW); }
      default: { put(out, c33, QUAD_ROW); }
    }
    workgroupBarrier();
    for (var j = thread; j < SUBGROUPS * MATRIX_M * QUADS; j += THREADS) {
      let source = j / (MATRIX_M * QUADS); // the subgroup whose matrix this is
      let row = j / QUADS % MATRIX_M;
      let quad = j % QUADS;
      let m = tile_m * TILE_M + (source / SUBGROUPS_N * DOWN + i % DOWN) * MATRIX_M + row;
      let n = tile_n * TILE_N + (source % SUBGROUPS_N * ACROSS + i / DOWN) * MATRIX_N + 4u * quad;
      store(m, n, bitcast<vec4<f32>>(staged[source * OUT + row * QUAD_ROW + quad]));
    }
    workgroupBarrier();
  }
}
