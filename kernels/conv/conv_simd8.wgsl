// A tile of common/conv.wgsl's product for drivers that compute on the CPU with a subgroup of 8
// lanes; gemm_lanes.wgsl says what is dear there. A subgroup owns 8 rows × 32 columns. A lane loads
// four channels of its row of the window, evaluates their ELU once for all columns of the tile, and
// hands them to all lanes; it owns four columns. A workgroup is 8 such subgroups below each other.
// Channels of x and columns come in vec4s.
#include "common/simd8.wgsl"
@group(0) @binding(0) var<uniform>             p: Params;
@group(0) @binding(1) var<storage, read>       x: array<vec4<f32>>;    // (B, T, c_in)
@group(0) @binding(2) var<storage, read>       w: array<vec4<f32>>;    // (taps · c_in, n_pitch)
@group(0) @binding(3) var<storage, read>       bias: array<vec4<f32>>; // (n), unread without bias
// (B, T', n); of a transposed one (B, T, n) = (B, T · stride, channels)
@group(0) @binding(4) var<storage, read_write> y: array<vec4<f32>>;
const ROWS = 8u;     // of a subgroup
const COLUMNS = 32u; // of a subgroup, and of its workgroup
const TILE = 64u;    // rows of a workgroup
override ELU: u32 = 0u; // p.elu, but known to the compiler: a branch in the walk is dear as well

fn conv(sentence: u32, tile_m: u32, tile_n: u32, subgroup: u32, lane: u32) {
  let m = tile_m * TILE + subgroup * ROWS;
  let column = tile_n * COLUMNS / 4u + lane; // of vec4s
  let pitch = p.n_pitch / 4u;
  if (m >= p.rows) { return; }
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
      var a = select(vec4<f32>(), x[at_x + i], frame_at >= 0);
      if (ELU == 1u) { a = elu(a); }
      let b = mat4x4<f32>(w[at_w], w[at_w + pitch], w[at_w + 2u * pitch], w[at_w + 3u * pitch]);
      at_w += 4u * pitch;
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
  // A loop, so that the epilogue stands in the code once.
  var c = array<vec4<f32>, ROWS>(c0, c1, c2, c3, c4, c5, c6, c7);
  for (var i = p.skip - min(m, p.skip); i < min(ROWS, p.rows - m); i++) {
    let at = (sentence * p.y_rows + p.y_start + m + i - p.skip) * pitch + column;
    var v = c[i];
    if (p.residual == 1u) { v += y[at]; }
    if (p.activate == 1u) { v = elu(v); }
    y[at] = v;
  }
}
