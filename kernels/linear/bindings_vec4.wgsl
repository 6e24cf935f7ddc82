// Bindings and epilogue of linear_subgroup_matrix.wgsl: those of linear/bindings.wgsl, under the
// same names, for N a multiple of 4. Then four outputs are written as one vec4; as single floats a
// GPU would write each cache line four times, a quarter of it each time.
#include "common/gemm_sizes.wgsl"
#include "common/gelu.wgsl"
#include "common/call.wgsl"
@group(0) @binding(0) var<uniform>             sizes: Sizes;
@group(0) @binding(1) var<uniform>             call: Call;
@group(0) @binding(2) var<storage, read>       x: array<vec4<f32>>;    // (M, K)
@group(0) @binding(3) var<storage, read>       w: array<vec4<u32>>;    // (N, K), f16
@group(0) @binding(4) var<storage, read>       bias: array<vec4<f32>>; // (N), unread without sizes.bias
@group(0) @binding(5) var<storage, read_write> y: array<vec4<f32>>;    // (M, N)

/// Epilogue: writes y[m, n … n+3] of the product `value`; skips what is outside (M, N).
fn store(m: u32, n: u32, value: vec4<f32>) {
  if (m >= call.count || n >= sizes.n) { return; }
  var v = value;
  if (sizes.bias == 1u) { v += bias[n / 4u]; }
  if (sizes.gelu == 1u) { v = gelu(v); }
  let at = (m * sizes.n + n) / 4u;
  if (sizes.residual == 1u) { v += y[at]; }
  y[at] = v;
}
