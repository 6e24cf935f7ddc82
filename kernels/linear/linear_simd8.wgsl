// As linear.wgsl, for drivers that compute on the CPU with subgroups of 8 lanes
// (common/gemm_lanes.wgsl says why).
// Grid: (⌈N / 32⌉, ⌈most rows / 64⌉); workgroups past call.count rows leave at once.
enable subgroups;
diagnostic(off, subgroup_uniformity); // subgroups beyond the last row skip the walk, whole
#include "linear/bindings.wgsl"
#include "common/gemm_simd8.wgsl"

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(subgroup_id) subgroup: u32, @builtin(subgroup_invocation_id) lane: u32) {
  if (group.y * TILE >= call.count) { return; }
  gemm(group.y, group.x, subgroup, lane);
}
