// Bindings and epilogue of linear.wgsl and linear_simd8.wgsl. M is call.count.
#include "common/gemm_sizes.wgsl"
#include "common/weights.wgsl"
#include "common/gelu.wgsl"
#include "common/call.wgsl"
@group(0) @binding(0) var<uniform>             sizes: Sizes;
@group(0) @binding(1) var<uniform>             call: Call;
@group(0) @binding(2) var<storage, read>       x: array<vec4<f32>>; // (M, K)
@group(0) @binding(3) var<storage, read>       w: array<vec4<u32>>; // (N, K)
@group(0) @binding(4) var<storage, read>       bias: array<f32>;    // (N), unread without sizes.bias
@group(0) @binding(5) var<storage, read_write> y: array<f32>;       // (M, N)

/// Epilogue: writes y[m, n … n+3] of the product `value`; skips what is outside (M, N).
fn store(m: u32, n: u32, value: vec4<f32>) {
  if (m >= call.count) { return; }
  var v = value;
  if (sizes.bias == 1u) {
    for (var i = 0u; i < 4u; i++) { v[i] += bias[min(n + i, sizes.n - 1u)]; }
  }
  if (sizes.gelu == 1u) { v = gelu(v); }
  for (var i = 0u; i < min(4u, sizes.n - min(n, sizes.n)); i++) { // N may not be a multiple of 4
    let at = m * sizes.n + n + i;
    if (sizes.residual == 1u) { y[at] += v[i]; } else { y[at] = v[i]; }
  }
}
