// common/linear.wgsl for N a multiple of 4, which lets four outputs leave in one piece: as single
// floats a GPU would write each line of its cache four times, a quarter of it a time. The same
// bindings under the same names.
#include "common/gemm_sizes.wgsl"
#include "common/gelu.wgsl"
#include "common/call.wgsl"
@group(0) @binding(0) var<uniform>             sizes: Sizes;
@group(0) @binding(1) var<uniform>             call: Call;
@group(0) @binding(2) var<storage, read>       x: array<vec4<f32>>;    // (M, K)
@group(0) @binding(3) var<storage, read>       w: array<vec4<u32>>;    // (N, K) f16
@group(0) @binding(4) var<storage, read>       bias: array<vec4<f32>>; // (N), unread without sizes.bias
@group(0) @binding(5) var<storage, read_write> y: array<vec4<f32>>;    // (M, N)

fn store(m: u32, n: u32, value: vec4<f32>) {
  if (m >= call.count || n >= sizes.n) { return; }
  var v = value;
  if (sizes.bias == 1u) { v += bias[n / 4u]; }
  if (sizes.gelu == 1u) { v = gelu(v); }
  let at = (m * sizes.n + n) / 4u;
  if (sizes.residual == 1u) { v += y[at]; }
  y[at] = v;
}
