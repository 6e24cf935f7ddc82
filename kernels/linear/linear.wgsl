// y = act(x · Wᵀ + bias), or y += …, for many rows.
// torch: nn.Linear, with GELU and the residual as epilogues.
// Shapes: x (M, K), W (N, K), bias (N), y (M, N).
// Grid: (⌈N / 64⌉, ⌈largest M / 64⌉); workgroups past row call.count return at once.
// The base file: portable core WGSL, for adapters that no variant suits.
#include "linear/bindings.wgsl"
#include "common/gemm.wgsl"

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  if (group.y * TILE >= call.count) { return; }
  gemm(group.y, group.x, thread);
}
