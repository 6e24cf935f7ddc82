// Sizes and epilogue of a GEMM, out (M, N) = a (M, K) · Wᵀ. M is `call.count` (common/call.wgsl).
// These are params and not overrides, because an override would make a pipeline for each shape of
// each model, and a software adapter takes seconds to compile each of them.
struct Sizes {
  k: u32,        // K: columns of both operands, a multiple of 8
  n: u32,        // N: rows of W
  bias: u32,     // 1: add bias[n]
  gelu: u32,     // 1: y = gelu(…)
  residual: u32, // 1: add to what y holds
}
