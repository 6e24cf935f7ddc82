// GEMM as common/gemm.wgsl, for drivers that compute on the CPU with subgroups of exactly 8 lanes
// (Mesa lavapipe; kernels/common/choices.ts): out[m, n] = Σ_k a[m, k] · W[n, k], f32.
//
// There a lane is a lane of an AVX register (measured on Mesa 25.0.7 lavapipe, 2026-11-22):
// - A load whose address depends on the lane costs as much as some twenty multiplications,
//   workgroup memory included. Loads of one address by all lanes cost the same, because inside a
//   loop the driver no longer sees that the address is shared.
// - Reading another lane's register (subgroupShuffle) is cheap.
//
// So a subgroup computes 8 rows × 32 columns, without workgroup memory and without barriers:
// - A lane owns 4 columns and loads 8 weights (k) of each.
// - Of each 8 × 8 block of a, a lane loads two vec4s, half of row lane / 2 and half of row
//   4 + lane / 2. Each value of a is then shuffled to all lanes.
// - A workgroup is 8 subgroups one below the other (64 rows), which read the same weights.
//
// The file that includes this declares x (M, K), w (N, K), `sizes` and `call`, and defines
//   store(m, n, value)   writes out[m, n … n+3]; n is a multiple of 4, n + 3 may pass N − 1
#include "common/simd8.wgsl"
const ROWS = 8u;     // rows of a, of a subgroup
const COLUMNS = 32u; // rows of W, of a subgroup and of its workgroup
const TILE = 64u;    // rows of a, of a workgroup

/// Computes tile (tile_m, tile_n) of the outputs and gives each four of them to `store`.
fn gemm(tile_m: u32, tile_n: u32, subgroup: u32, lane: u32) {
  let eights = sizes.k / 8u;
  let m = tile_m * TILE + subgroup * ROWS;
  let n = tile_n * COLUMNS + 4u * lane;
  // Rows past the end read the last one again; they are not stored.
  let at_a = 2u * eights * min(m + lane / 2u, call.count - 1u) + lane % 2u;
  let at_b = 2u * eights * min(m + 4u + lane / 2u, call.count - 1u) + lane % 2u;
  let w0 = eights * min(n, sizes.n - 1u);
  let w1 = eights * min(n + 1u, sizes.n - 1u);
  let w2 = eights * min(n + 2u, sizes.n - 1u);
  let w3 = eights * min(n + 3u, sizes.n - 1u);
  var c0 = vec4<f32>();
  var c1 = vec4<f32>();
  var c2 = vec4<f32>();
  var c3 = vec4<f32>();
  var c4 = vec4<f32>();
  var c5 = vec4<f32>();
  var c6 = vec4<f32>();
  var c7 = vec4<f32>();
  // A subgroup whose rows are all past the end skips the loop.
  let end = select(0u, eights, m < call.count);
  for (var i = 0u; i < end; i++) {
    // Load 8 columns: two vec4s of a, 8 weights of each of the 4 columns of this lane.
    let a = x[at_a + 2u * i]; // rows m … m + 3
    let b = x[at_b + 2u * i]; // rows m + 4 … m + 7
    let e0 = weights8(w0 + i);
    let e1 = weights8(w1 + i);
    let e2 = weights8(w2 + i);
    let e3 = weights8(w3 + i);
    let lo = transpose(mat4x4<f32>(e0.lo, e1.lo, e2.lo, e3.lo));
    let hi = transpose(mat4x4<f32>(e0.hi, e1.hi, e2.hi, e3.hi));
    // Accumulate: lane 2i holds the first half of row i of `a` (or `b`), lane 2i + 1 the second.
    c0 = quad(quad(c0, a, 0u, lo), a, 1u, hi);
    c1 = quad(quad(c1, a, 2u, lo), a, 3u, hi);
    c2 = quad(quad(c2, a, 4u, lo), a, 5u, hi);
    c3 = quad(quad(c3, a, 6u, lo), a, 7u, hi);
    c4 = quad(quad(c4, b, 0u, lo), b, 1u, hi);
    c5 = quad(quad(c5, b, 2u, lo), b, 3u, hi);
    c6 = quad(quad(c6, b, 4u, lo), b, 5u, hi);
    c7 = quad(quad(c7, b, 6u, lo), b, 7u, hi);
  }
  if (n >= sizes.n) { return; }
  // Epilogue, in a loop so that `store` stands in the code once.
  var c = array<vec4<f32>, ROWS>(c0, c1, c2, c3, c4, c5, c6, c7);
  for (var i = 0u; i < min(ROWS, call.count - min(m, call.count)); i++) { store(m + i, n, c[i]); }
}
