// A tile of the product of conv/bindings.wgsl for drivers that compute on the CPU with subgroups of
// exactly 8 lanes; common/gemm_simd8.wgsl says what is expensive there.
//
// - A subgroup computes 8 rows × 32 columns; a workgroup is 8 subgroups one below the other.
// - A lane loads four channels of its row of the window and applies ELU once for all columns of the
//   tile. Each value is then shuffled to all lanes.
// - A lane owns four columns.
// - Channels of x (C_in) and columns (N) are multiples of 4. y of a transposed convolution is
//   (B, L, N) with N = stride · C_out, which is (B, L · stride, C_out) in memory.
#include "common/simd8.wgsl"
@group(0) @binding(0) var<uniform>             p: Params;
@group(0) @binding(1) var<storage, read>       x: array<vec4<f32>>;    // (B, L, C_in)
@group(0) @binding(2) var<storage, read>       w: array<vec4<f32>>;    // (taps · C_in, n_pitch)
@group(0) @binding(3) var<storage, read>       bias: array<vec4<f32>>; // (N), unread without p.bias
@group(0) @binding(4) var<storage, read_write> y: array<vec4<f32>>;    // (B, L', N)
const ROWS = 8u;        // rows of a subgroup
const COLUMNS = 32u;    // columns of a subgroup, and of its workgroup
const TILE = 64u;       // rows of a workgroup
override ELU: u32 = 0u; // p.elu as a constant, because a branch in the loop is expensive there too

/// Computes tile (tile_m, tile_n) of a sentence's product and writes it.
fn conv(sentence: u32, tile_m: u32, tile_n: u32, subgroup: u32, lane: u32) {
  let m = tile_m * TILE + subgroup * ROWS;
  let column = tile_n * COLUMNS / 4u + lane; // column of vec4s
  let pitch = p.n_pitch / 4u;
  if (m >= p.rows) { return; }
  // Sums start with the bias.
  var c0 = vec4<f32>();
  if (p.bias == 1u) { c0 = bias[min(column, pitch - 1u)]; }
  var c1 = c0;
  var c2 = c0;
  var c3 = c0;
  var c4 = c0;
  var c5 = c0;
  var c6 = c0;
  var c7 = c0;
  var at_w = min(column, pitch - 1u);
  let taps = p.k / p.c_in;
  let fours = p.c_in / 4u;
  for (var tap = 0u; tap < taps; tap++) {
    let frame_at = place(sentence, m + lane, tap);
    let at_x = u32(max(frame_at, 0)) / 4u;
    for (var i = 0u; i < fours; i++) {
      // Load four channels of this lane's row, and four rows of the weight.
      var a = select(vec4<f32>(), x[at_x + i], frame_at >= 0);
      if (ELU == 1u) { a = elu(a); }
      let b = mat4x4<f32>(w[at_w], w[at_w + pitch], w[at_w + 2u * pitch], w[at_w + 3u * pitch]);
      at_w += 4u * pitch;
      // Accumulate: lane i holds row i.
      c0 = quad(c0, a, 0u, b);
      c1 = quad(c1, a, 1u, b);
      c2 = quad(c2, a, 2u, b);
      c3 = quad(c3, a, 3u, b);
      c4 = quad(c4, a, 4u, b);
      c5 = quad(c5, a, 5u, b);
      c6 = quad(c6, a, 6u, b);
      c7 = quad(c7, a, 7u, b);
    }
  }
  if (column >= pitch) { return; }
  // Epilogue, in a loop so that it stands in the code once.
  var c = array<vec4<f32>, ROWS>(c0, c1, c2, c3, c4, c5, c6, c7);
  for (var i = p.skip - min(m, p.skip); i < min(ROWS, p.rows - m); i++) {
    let at = (sentence * p.y_rows + p.y_start + m + i - p.skip) * pitch + column;
    var v = c[i];
    if (p.residual == 1u) { v += y[at]; }
    if (p.activate == 1u) { v = elu(v); }
    y[at] = v;
  }
}
