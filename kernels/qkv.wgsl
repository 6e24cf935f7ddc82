// q, k, v = x · Wᵀ + bias for many positions of one sentence; queries to q, keys and values to the cache at call.start + m.
// torch: att_proj of Bark's attention, and the concatenation with the cache. Grid: (⌈3H / 64⌉, ⌈most positions / 64⌉).
#include "common/qkv_rows.wgsl"
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
