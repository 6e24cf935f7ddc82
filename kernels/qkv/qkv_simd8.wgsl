// As qkv.wgsl, for drivers that compute on the CPU with subgroups of 8 lanes
// (common/gemm_lanes.wgsl says why).
// Grid: (⌈3H / 32⌉, ⌈most positions / 64⌉).
enable subgroups;
diagnostic(off, subgroup_uniformity); // subgroups beyond the last row skip the walk, whole
#include "qkv/bindings.wgsl"
#include "common/gemm_simd8.wgsl"

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(subgroup_id) subgroup: u32, @builtin(subgroup_invocation_id) lane: u32) {
  if (group.y * TILE >= call.count) { return; }
  gemm(group.y, group.x, subgroup, lane);
}
