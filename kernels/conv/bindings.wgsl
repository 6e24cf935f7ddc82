// Convolutions over time as products of matrices:
// - Left operand: a row is a window of frames, read from the activations x (B, L, C_in) where they
//   are, with ELU as an optional prologue.
// - Right operand: the weight as it is stored, with a row for each (tap, channel) of the window.
// - Epilogue: bias, residual and ELU.
//
// Shapes are params and not overrides: a codec has some twenty, and one pipeline serves them all.
//
// Bindings p, x, w, bias and y are declared by conv/conv_scalar.wgsl, conv/conv_simd8.wgsl or the
// shader itself. conv/conv_reflect.wgsl or conv/conv_zeros.wgsl defines
//   frame(row, tap) -> i32   the frame of the slice that this tap of the row reads; negative: zeros
struct Params {
  rows: u32,     // rows of the product that are computed for each sentence
  k: u32,        // K: taps · C_in
  n: u32,        // N: columns of the product, C_out or stride · C_out
  n_pitch: u32,  // columns of w: N rounded up to a multiple of 4
  c_in: u32,     // C_in
  x_frames: u32, // L: frames of a sentence in x
  start: u32,    // first frame of the slice of x that is read; frames outside it do not exist for the convolution
  frames: u32,   // frames of the slice
  left: u32,     // frames of padding in front of the slice
  mirror: u32,   // the frame at which right padding is reflected
  stride: u32,
  dilation: u32,
  y_rows: u32,   // L': rows of a sentence in y
  y_start: u32,  // first row of y that is written
  skip: u32,     // rows computed first that are not written
  elu: u32,      // 1: reads elu(x) in place of x
  bias: u32,     // 1: adds bias
  residual: u32, // 1: adds to what y holds
  activate: u32, // 1: writes elu(…), of the residual's sum too
}

/// Index in x of the first channel of the frame that (row, tap) reads; negative where it reads
/// zeros.
fn place(sentence: u32, row: u32, tap: u32) -> i32 {
  let at = frame(row, tap);
  return select(-1, i32((sentence * p.x_frames + p.start + u32(max(at, 0))) * p.c_in), at >= 0 && row < p.rows);
}
