// Convolutions over time as products: a row of the left operand is a window of frames, read from
// (B, T, C) activations where they lie, with ELU as a prologue; bias, residual and ELU are the
// epilogue. The weight has a row for each (tap, channel) of the window and is read as it lies.
// Shapes are params and not overrides: a codec has some twenty, and one pipeline serves them all.
// Bindings p, x, w, bias and y are conv_scalar.wgsl's, conv_lanes.wgsl's or the file's own; the
// file that includes this gives
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
  activate: u32, // 1: elu(…) is what is written
}

/// Where the frame that (row, tap) reads begins in x; negative: zeros.
fn place(sentence: u32, row: u32, tap: u32) -> i32 {
  let at = frame(row, tap);
  return select(-1, i32((sentence * p.x_frames + p.start + u32(max(at, 0))) * p.c_in), at >= 0 && row < p.rows);
}
