// A tile of the product of conv/bindings.wgsl, portable: 64 rows × 32 columns a workgroup (few
// layers have more than 32 channels), 8 × 4 a thread of 64. Rows of the left tile are padded by one
// vec4, so that rows that neighbouring threads read at once lie in different banks.
// The file that includes this also includes conv/conv_scalar.wgsl (`window`, `store`, w).
const TILE_M = 64u;              // rows of a workgroup
const TILE_N = 32u;              // columns of a workgroup
const DEPTH = 16u;               // k in workgroup memory at a time
const A_PITCH = DEPTH / 4u + 1u; // vec4s from one row of the left tile to the next
const W_PITCH = TILE_N / 4u;

var<workgroup> a_tile: array<vec4<f32>, TILE_M * A_PITCH>; // [m][k / 4]
var<workgroup> w_tile: array<vec4<f32>, DEPTH * W_PITCH>;  // [k][n / 4]

/// Computes tile (tile_m, tile_n) of a sentence's product and gives its outputs to `store`.
fn conv(sentence: u32, tile_m: u32, tile_n: u32, thread: u32) {
  let tx = thread % 8u;
  let ty = thread / 8u;
  let m0 = tile_m * TILE_M;
  let n0 = tile_n * TILE_N;
  var c0 = vec4<f32>(0.0);
  var c1 = c0;
  var c2 = c0;
  var c3 = c0;
  var c4 = c0;
  var c5 = c0;
  var c6 = c0;
  var c7 = c0;
  for (var k0 = 0u; k0 < p.k; k0 += DEPTH) {
    // Load a tile of windows and a tile of the weight.
    let quad = thread % 4u;
    let k = k0 + 4u * quad;
    let tap = k / p.c_in;
    for (var row = thread / 4u; row < TILE_M; row += 16u) {
      a_tile[row * A_PITCH + quad] = window(sentence, m0 + row, k, tap, k - tap * p.c_in);
    }
    for (var depth = ty; depth < DEPTH; depth += 8u) {
      var v = vec4<f32>(0.0);
      if (k0 + depth < p.k && n0 + 4u * tx < p.n_pitch) { v = w[((k0 + depth) * p.n_pitch + n0) / 4u + tx]; }
      w_tile[depth * W_PITCH + tx] = v;
    }
    workgroupBarrier();
    // Accumulate: 8 rows × 4 columns.
    for (var q = 0u; q < DEPTH / 4u; q++) {
      let w4 = mat4x4<f32>(
        w_tile[4u * q * W_PITCH + tx], w_tile[(4u * q + 1u) * W_PITCH + tx],
        w_tile[(4u * q + 2u) * W_PITCH + tx], w_tile[(4u * q + 3u) * W_PITCH + tx]);
      let a = ty * A_PITCH + q;
      c0 += w4 * a_tile[a];
      c1 += w4 * a_tile[a + 8u * A_PITCH];
      c2 += w4 * a_tile[a + 16u * A_PITCH];
      c3 += w4 * a_tile[a + 24u * A_PITCH];
      c4 += w4 * a_tile[a + 32u * A_PITCH];
      c5 += w4 * a_tile[a + 40u * A_PITCH];
      c6 += w4 * a_tile[a + 48u * A_PITCH];
      c7 += w4 * a_tile[a + 56u * A_PITCH];
    }
    workgroupBarrier();
  }
  // Epilogue. `store` is long and drivers inline it, so it stands in the code once. The sums reach
  // it through workgroup memory that only this thread uses, because a computed index would move
  // them out of registers.
  for (var half = 0u; half < 2u; half++) {
    a_tile[thread] = select(c4, c0, half == 0u);
    a_tile[64u + thread] = select(c5, c1, half == 0u);
    a_tile[128u + thread] = select(c6, c2, half == 0u);
    a_tile[192u + thread] = select(c7, c3, half == 0u);
    for (var i = 0u; i < 4u; i++) {
      store(sentence, m0 + ty + 8u * (4u * half + i), n0 + 4u * tx, a_tile[64u * i + thread]);
    }
  }
}
