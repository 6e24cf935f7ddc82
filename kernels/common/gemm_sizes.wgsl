// A product of many rows: its sizes and its epilogue. Params, not overrides: a software adapter
// takes seconds to compile each shape of each model.
struct Sizes {
  k: u32, // columns of both operands, a multiple of 8
  n: u32, // rows of W
  bias: u32,     // 1: add bias[n]
  gelu: u32,     // 1: y = gelu(…)
  residual: u32, // 1: add to what y holds
}
