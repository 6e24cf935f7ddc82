// y = act(x · Wᵀ + bias), or y += …, for many rows. torch: nn.Linear, GELU and the residual in the epilogue.
// Grid: (⌈N / 64⌉, ⌈most rows / 64⌉); workgroups past call.count rows leave at once.
#include "common/linear.wgsl"
#include "common/gemm.wgsl"

fn load_a(m: u32, k: u32) -> vec4<f32> {
  if (m >= call.count || k >= sizes.k) { return vec4<f32>(0.0); }
  return x[(m * sizes.k + k) / 4u];
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  if (group.y * TILE >= call.count) { return; }
  gemm(group.y, group.x, thread);
}
