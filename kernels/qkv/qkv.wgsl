// q, k, v = x · Wᵀ + bias for many positions of one sentence; queries to q, keys and values to the
// cache at call.start + m.
// torch: att_proj of Bark's attention, and the concatenation with the cache. Grid: (⌈3H / 64⌉,
// ⌈most positions / 64⌉).
#include "qkv/bindings.wgsl"
#include "common/gemm.wgsl"

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  if (group.y * TILE >= call.count) { return; }
  gemm(group.y, group.x, thread);
}
