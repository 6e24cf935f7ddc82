// Bindings, loads and epilogue of convolutions whose channels need not fill vec4s. `quads` is the
// buffer of x once more, read as vec4s where the channels do fill them. y of a transposed
// convolution is (B, L, N) with N = stride · C_out, which is (B, L · stride, C_out) in memory.
@group(0) @binding(0) var<uniform>             p: Params;
@group(0) @binding(1) var<storage, read>       x: array<f32>;           // (B, L, C_in)
@group(0) @binding(2) var<storage, read>       quads: array<vec4<f32>>; // (B, L, C_in / 4), the same buffer as x
@group(0) @binding(3) var<storage, read>       w: array<vec4<f32>>;     // (taps · C_in, n_pitch)
@group(0) @binding(4) var<storage, read>       bias: array<f32>;        // (N), unread without p.bias
@group(0) @binding(5) var<storage, read_write> y: array<f32>;           // (B, L', N)
override WHOLE_QUADS: u32; // 1: C_in is a multiple of 4, so that four columns are four channels of one frame

/// Columns k … k + 3 of a row of the left operand, k = tap · C_in + channel; ELU is applied.
fn window(sentence: u32, row: u32, k: u32, tap: u32, channel: u32) -> vec4<f32> {
  var v = vec4<f32>(0.0);
  if (WHOLE_QUADS == 1u) {
    let at = place(sentence, row, tap);
    if (k < p.k && at >= 0) {
      v = quads[(u32(at) + channel) / 4u];
    }
  } else {
    var t = tap;
    var c = channel;
    for (var i = 0u; i < 4u; i++) {
      let at = place(sentence, row, t);
      if (k + i < p.k && at >= 0) { v[i] = x[u32(at) + c]; }
      c++;
      if (c == p.c_in) { c = 0u; t++; }
    }
  }
  if (p.elu == 1u) { v = elu(v); }
  return v;
}

/// Epilogue: writes columns n … n + 3 of row m of a sentence; skips what is outside.
fn store(sentence: u32, m: u32, n: u32, value: vec4<f32>) {
  if (m >= p.rows || m < p.skip) { return; }
  let at = (sentence * p.y_rows + p.y_start + m - p.skip) * p.n + n;
  for (var i = 0u; i < 4u && n + i < p.n; i++) {
    var v = value[i];
    if (p.bias == 1u) { v += bias[n + i]; }
    if (p.residual == 1u) { v += y[at + i]; }
    if (p.activate == 1u) { v = elu(vec4<f32>(v)).x; }
    y[at + i] = v;
  }
}
