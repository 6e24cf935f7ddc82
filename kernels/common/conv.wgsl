// Convolutions over time as products: a row of the left operand is a window of frames, read from (B, T, C) activations where they lie, with
// ELU as a prologue; bias and residual are the epilogue. The weight has a row for each (tap, channel) of the window and is read as it lies.
// Shapes are params and not overrides: a codec has some twenty, and one pipeline serves them all. A tile is 64 × 32 outputs (few layers have
// more than 32 channels), 8 × 4 a thread.
// The file that includes this declares p, x, w, bias and y, and gives
//   frame(row, tap) -> i32      the frame of the slice that this tap of this row reads; negative: zeros
struct Params {
  rows: u32,     // rows computed of each sentence
  k: u32,        // taps · c_in
  n: u32,        // columns of the product: channels of y, or stride · channels
  n_pitch: u32,  // row length of w, a multiple of 4
  c_in: u32,     // channels of x
  x_frames: u32, // frames of a sentence in x
  start: u32,    // the slice of them that is seen: all others are as if they were not there
  frames: u32,
  left: u32,     // frames of padding in front of the slice
  mirror: u32,   // the frame that right padding is reflected at
  stride: u32,
  dilation: u32,
  y_rows: u32,   // rows of a sentence in y
  y_start: u32,  // the first of them written
  skip: u32,     // first rows computed that are not written
  elu: u32,      // 1: elu(x) is what is read
  bias: u32,     // 1: there is one
  residual: u32, // 1: add to what y holds
}
override WHOLE_QUADS: u32; // 1: c_in is a multiple of 4, so that four columns are four channels of one frame

/// Where the frame that (row, tap) reads begins in x; negative: zeros.
fn place(sentence: u32, row: u32, tap: u32) -> i32 {
  let at = frame(row, tap);
  return select(-1, i32((sentence * p.x_frames + p.start + u32(max(at, 0))) * p.c_in), at >= 0 && row < p.rows);
}

/// Columns k … k + 3 of a row, where k = tap · c_in + channel.
fn window(sentence: u32, row: u32, k: u32, tap: u32, channel: u32) -> vec4<f32> {
  var v = vec4<f32>(0.0);
  if (WHOLE_QUADS == 1u) {
    let at = place(sentence, row, tap);
    if (k < p.k && at >= 0) {
      let i = u32(at) + channel;
      v = vec4<f32>(x[i], x[i + 1u], x[i + 2u], x[i + 3u]);
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

fn store(sentence: u32, m: u32, n: u32, value: vec4<f32>) {
  if (m >= p.rows || m < p.skip) { return; }
  let at = (sentence * p.y_rows + p.y_start + m - p.skip) * p.n + n;
  for (var i = 0u; i < 4u && n + i < p.n; i++) {
    var v = value[i];
    if (p.bias == 1u) { v += bias[n + i]; }
    if (p.residual == 1u) { v += y[at + i]; }
    y[at + i] = v;
  }
}
