// y = act(x · Wᵀ + bias), or y += …, for many rows. torch: nn.Linear, GELU and the residual in the
// epilogue.
// Grid: (⌈N / 64⌉, ⌈most rows / 64⌉); workgroups past call.count rows leave at once.
#include "linear/bindings.wgsl"
#include "common/gemm.wgsl"

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  if (group.y * TILE >= call.count) { return; }
  gemm(group.y, group.x, thread);
}
