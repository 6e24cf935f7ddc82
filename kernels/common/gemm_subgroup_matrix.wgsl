// The product of many rows on the matrix unit: out[m, n] = Σ_k a[m, k] · W[n, k], a rounded to f16,
// W stored as f16, sums in f32.
// A workgroup is SUBGROUPS_M × SUBGROUPS_N subgroups, each with 2 × ACROSS matrices of sums in
// registers. Operands pass through workgroup memory, 32 columns at a time; what the next step needs
// is loaded into registers before this step multiplies, and put down after it, in the other of two
// buffers if both fit. A row there is 4 vec4s and one of padding: eight rows that are read together
// then lie in different banks. The sums are named, and not an array, because a driver that does not
// unroll a loop over them would keep them in memory.
// The file that includes this declares `x`, `w`, `sizes`, `call` (N is a multiple of 4), and gives
//   store(m, n, value)          out[m, n … n+3] = value; n is a multiple of 4 and may pass N - 1
#include "common/subgroup_matrix.wgsl"
// Replaced like those of common/matrix.wgsl.
const SUBGROUPS_M = 2u;
const SUBGROUPS_N = 4u;
const ACROSS = 2u;  // 2 or 4
const BUFFERS = 2u; // 1 or 2

const SUBGROUPS = SUBGROUPS_M * SUBGROUPS_N;
const THREADS = SUBGROUP * SUBGROUPS;
const TILE_M = SUBGROUPS_M * 2u * MATRIX_M;
const TILE_N = SUBGROUPS_N * ACROSS * MATRIX_N;
const EIGHTS = 4u; // of a row, staged at a time
const ROW = EIGHTS + 1u;
const BUFFER = (TILE_M + TILE_N) * ROW; // rows of a, then rows of W
const EIGHTS_A = TILE_M * EIGHTS;
const EIGHTS_W = TILE_N * EIGHTS;
const SHARE_A = (EIGHTS_A + THREADS - 1u) / THREADS; // of a thread
const SHARE_W = (EIGHTS_W + THREADS - 1u) / THREADS;
const QUADS = MATRIX_N / 4u;
const QUAD_ROW = QUADS + 1u;
const OUT = MATRIX_M * QUAD_ROW; // one matrix of sums on its way out

var<workgroup> staged: array<vec4<u32>, max(BUFFERS * BUFFER, SUBGROUPS * OUT)>;

/// What a thread carries from memory to workgroup memory; a stays f32 until it is put down, so that
/// nothing waits for it before.
struct Load {
  lo: array<vec4<f32>, SHARE_A>,
  hi: array<vec4<f32>, SHARE_A>,
  w: array<vec4<u32>, SHARE_W>,
}

/// Columns 8 · eight …; zeros past K. Rows outside read the last one again; they are not stored.
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

fn gemm(tile_m: u32, tile_n: u32, subgroup: u32, thread: u32) {
  let eights = sizes.k / 8u;
  let rows = subgroup / SUBGROUPS_N * 2u * MATRIX_M;
  let columns = subgroup % SUBGROUPS_N * ACROSS * MATRIX_N;
  var c00 = Sum();
  var c01 = Sum();
  var c02 = Sum();
  var c03 = Sum();
  var c10 = Sum();
  var c11 = Sum();
  var c12 = Sum();
  var c13 = Sum();
  var at = 0u;
  put_down(load(tile_m, tile_n, 0u, thread), at, thread);
  workgroupBarrier();
  for (var eight = 0u; eight < eights; eight += EIGHTS) {
    let next = load(tile_m, tile_n, eight + EIGHTS, thread);
    for (var k = 0u; k < EIGHTS; k += MATRIX_K / 8u) {
      let a = at + rows * ROW + k;
      let b = at + (TILE_M + columns) * ROW + k;
      let a0 = left(a, ROW);
      let a1 = left(a + MATRIX_M * ROW, ROW);
      let b0 = right(b, ROW);
      let b1 = right(b + MATRIX_N * ROW, ROW);
      c00 = multiply(a0, b0, c00);
      c01 = multiply(a0, b1, c01);
      c10 = multiply(a1, b0, c10);
      c11 = multiply(a1, b1, c11);
      if (ACROSS == 4u) {
        let b2 = right(b + 2u * MATRIX_N * ROW, ROW);
        let b3 = right(b + 3u * MATRIX_N * ROW, ROW);
        c02 = multiply(a0, b2, c02);
        c03 = multiply(a0, b3, c03);
        c12 = multiply(a1, b2, c12);
        c13 = multiply(a1, b3, c13);
      }
    }
    if (BUFFERS == 2u) { at = BUFFER - at; } else { workgroupBarrier(); }
    put_down(next, at, thread);
    workgroupBarrier();
  }
  // Sums leave through workgroup memory, one matrix of each subgroup at a time, so that the
  // epilogue stands in the code once. A loop that stays one.
  let end = min(2u * ACROSS, sizes.k);
  for (var i = 0u; i < end; i++) {
    let out = subgroup * OUT;
    switch (i) {
      case 0u: { put(out, c00, QUAD_ROW); }
      case 1u: { put(out, c10, QUAD_ROW); }
      case 2u: { put(out, c01, QUAD_ROW); }
      case 3u: { put(out, c11, QUAD_ROW); }
      case 4u: { put(out, c02, QUAD_ROW); }
      case 5u: { put(out, c12, QUAD_ROW); }
      case 6u: { put(out, c03, QUAD_ROW); }
      default: { put(out, c13, QUAD_ROW); }
    }
    workgroupBarrier();
    for (var j = thread; j < SUBGROUPS * MATRIX_M * QUADS; j += THREADS) {
      let source = j / (MATRIX_M * QUADS); // the subgroup it comes from
      let row = j / QUADS % MATRIX_M;
      let quad = j % QUADS;
      let m = tile_m * TILE_M + (source / SUBGROUPS_N * 2u + i % 2u) * MATRIX_M + row;
      let n = tile_n * TILE_N + (source % SUBGROUPS_N * ACROSS + i / 2u) * MATRIX_N + 4u * quad;
      store(m, n, bitcast<vec4<f32>>(staged[source * OUT + row * QUAD_ROW + quad]));
    }
    workgroupBarrier();
  }
}
