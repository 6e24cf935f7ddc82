// GEMM, portable: out[m, n] = Σ_k a[m, k] · W[n, k] for many rows of a, in f32. torch: nn.Linear.
// A workgroup of 64 threads computes a tile of 64 × 64 outputs, 8 × 8 for each thread.
//
// - Both operands pass through workgroup memory transposed, so that the inner loop reads vec4s: 4
//   loads for 64 multiply-adds.
// - Sizes and epilogue are params and not overrides, and loops have bounds that the compiler does
//   not know: the compiler of a software adapter unrolls what it can, and took seconds for each
//   shape of each model.
//
// The file that includes this declares x (M, K), w (N, K), `sizes` and `call`, and defines
//   store(m, n, value)   writes out[m, n … n+3]; n is a multiple of 4, n + 3 may pass N − 1
const TILE = 64u;        // rows of a, and rows of W, of a workgroup
const DEPTH = 16u;       // columns (k) in workgroup memory at a time
const QUADS = TILE / 4u; // vec4s of a tile's edge

// In the main loop a as [k][m / 4], then W as [k][n / 4]; at the end 32 rows of out, [m][n / 4].
var<workgroup> tile: array<vec4<f32>, 2u * DEPTH * QUADS>;

/// a[m, k … k+3]; zeros where m or k is outside.
fn load_a(m: u32, k: u32) -> vec4<f32> {
  if (m >= call.count || k >= sizes.k) { return vec4<f32>(0.0); }
  return x[(m * sizes.k + k) / 4u];
}

/// W[n, k … k+3]; zeros where n or k is outside.
fn load_w(n: u32, k: u32) -> vec4<f32> {
  if (n >= sizes.n || k >= sizes.k) { return vec4<f32>(0.0); }
  return weights4((n * sizes.k + k) / 4u);
}

/// Computes tile (tile_m, tile_n) of the outputs and gives each four of them to `store`.
fn gemm(tile_m: u32, tile_n: u32, thread: u32) {
  // The outputs of this thread are rows 8 ty … 8 ty + 7, columns 4 tx … 4 tx + 3 and 32 further on.
  let tx = thread % 8u;
  let ty = thread / 8u;
  // What this thread loads: four columns from `depth` on, of four rows of a and four of W.
  let quad = thread % QUADS;
  let depth = thread / QUADS * 4u;
  let m = tile_m * TILE + 4u * quad;
  let n = tile_n * TILE + 4u * quad;
  var c: array<vec4<f32>, 16>;
  for (var k0 = 0u; k0 < sizes.k; k0 += DEPTH) {
    // Load a tile of both operands and transpose it.
    let k = k0 + depth;
    let a = transpose(mat4x4<f32>(load_a(m, k), load_a(m + 1u, k), load_a(m + 2u, k), load_a(m + 3u, k)));
    let b = transpose(mat4x4<f32>(load_w(n, k), load_w(n + 1u, k), load_w(n + 2u, k), load_w(n + 3u, k)));
    for (var i = 0u; i < 4u; i++) {
      tile[(depth + i) * QUADS + quad] = a[i];
      tile[(DEPTH + depth + i) * QUADS + quad] = b[i];
    }
    workgroupBarrier();

    // Accumulate: outer products of 8 values of a with 8 of W.
    for (var i = 0u; i < min(DEPTH, sizes.k - k0); i++) {
      let a0 = tile[i * QUADS + 2u * ty];
      let a1 = tile[i * QUADS + 2u * ty + 1u];
      let b0 = tile[(DEPTH + i) * QUADS + tx];
      let b1 = tile[(DEPTH + i) * QUADS + 8u + tx];
      c[0] += a0.x * b0;   c[1] += a0.x * b1;
      c[2] += a0.y * b0;   c[3] += a0.y * b1;
      c[4] += a0.z * b0;   c[5] += a0.z * b1;
      c[6] += a0.w * b0;   c[7] += a0.w * b1;
      c[8] += a1.x * b0;   c[9] += a1.x * b1;
      c[10] += a1.y * b0;  c[11] += a1.y * b1;
      c[12] += a1.z * b0;  c[13] += a1.z * b1;
      c[14] += a1.w * b0;  c[15] += a1.w * b1;
    }
    workgroupBarrier();
  }

  // Epilogue. The sums pass through workgroup memory, 32 rows at a time, so that neighbouring
  // threads write neighbouring addresses and `store` stands in the code once.
  for (var half = 0u; half < 2u; half++) {
    if (ty / 4u == half) {
      // Written out, because an index that the compiler does not know would move the sums out of
      // registers.
      let at = 8u * (ty % 4u) * QUADS + tx;
      tile[at] = c[0];               tile[at + 8u] = c[1];
      tile[at + QUADS] = c[2];       tile[at + QUADS + 8u] = c[3];
      tile[at + 2u * QUADS] = c[4];  tile[at + 2u * QUADS + 8u] = c[5];
      tile[at + 3u * QUADS] = c[6];  tile[at + 3u * QUADS + 8u] = c[7];
      tile[at + 4u * QUADS] = c[8];  tile[at + 4u * QUADS + 8u] = c[9];
      tile[at + 5u * QUADS] = c[10]; tile[at + 5u * QUADS + 8u] = c[11];
      tile[at + 6u * QUADS] = c[12]; tile[at + 6u * QUADS + 8u] = c[13];
      tile[at + 7u * QUADS] = c[14]; tile[at + 7u * QUADS + 8u] = c[15];
    }
    workgroupBarrier();
    for (var i = thread; i < 32u * QUADS; i += 64u) {
      store(tile_m * TILE + 32u * half + i / QUADS, tile_n * TILE + 4u * (i % QUADS), tile[i]);
    }
    workgroupBarrier();
  }
}
