// q, k, v = x · Wᵀ + bias for many positions of one sentence. Queries go to q, keys and values to
// the cache at position call.start + m.
// torch: att_proj of Bark's attention and the concatenation with the cache.
// Shapes: x (M, H), W (3H, H), bias (3H), q (M, H), keys and values (B, heads, capacity, D), with
// H = heads · D.
// Grid: (⌈3H / 64⌉, ⌈largest M / 64⌉); workgroups past position call.count return at once.
// The base file: portable core WGSL, for adapters that no variant suits.
#include "qkv/bindings.wgsl"
#include "common/gemm.wgsl"

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  if (group.y * TILE >= call.count) { return; }
  gemm(group.y, group.x, thread);
}
