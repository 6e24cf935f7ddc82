// y = act(x · Wᵀ + bias), or y += …, for many rows. torch: nn.Linear, GELU and the residual in the epilogue.
// Grid: (⌈N / 64⌉, ⌈most rows / 64⌉); workgroups past call.count rows leave at once.
#include "common/weights.wgsl"
#include "common/gelu.wgsl"
#include "common/call.wgsl"
#include "common/gemm.wgsl"
@group(0) @binding(0) var<uniform>             sizes: Sizes;
@group(0) @binding(1) var<uniform>             call: Call;
@group(0) @binding(2) var<storage, read>       x: array<vec4<f32>>; // (M, K)
@group(0) @binding(3) var<storage, read>       w: array<vec4<u32>>; // (N, K)
@group(0) @binding(4) var<storage, read>       bias: array<f32>;    // (N), unread without sizes.bias
@group(0) @binding(5) var<storage, read_write> y: array<f32>;       // (M, N)
fn load_a(m: u32, k: u32) -> vec4<f32> {
  if (m >= call.count || k >= sizes.k) { return vec4<f32>(0.0); }
  return x[(m * sizes.k + k) / 4u];
}

fn store(m: u32, n: u32, value: vec4<f32>) {
  if (m >= call.count) { return; }
  var v = value;
  if (sizes.bias == 1u) {
    for (var i = 0u; i < 4u; i++) { v[i] += bias[min(n + i, sizes.n - 1u)]; }
  }
  if (sizes.gelu == 1u) { v = gelu(v); }
  for (var i = 0u; i < min(4u, sizes.n - min(n, sizes.n)); i++) { // N need not be a multiple of 4
    let at = m * sizes.n + n + i;
    if (sizes.residual == 1u) { y[at] += v[i]; } else { y[at] = v[i]; }
  }
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  if (group.y * TILE >= call.count) { return; }
  gemm(group.y, group.x, thread);
}
