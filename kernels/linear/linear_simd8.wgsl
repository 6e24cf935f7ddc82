// As linear.wgsl, as a variant for drivers that compute on the CPU with subgroups of exactly 8
// lanes (common/gemm_simd8.wgsl says why).
// Grid: (⌈N / 32⌉, ⌈largest M / 64⌉); workgroups past row call.count return at once.
enable subgroups;
// A subgroup past the last row skips the loop as a whole, which the uniformity analysis cannot see.
diagnostic(off, subgroup_uniformity);
#include "linear/bindings.wgsl"
#include "common/gemm_simd8.wgsl"

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>,
        @builtin(subgroup_id) subgroup: u32, @builtin(subgroup_invocation_id) lane: u32) {
  if (group.y * TILE >= call.count) { return; }
  gemm(group.y, group.x, subgroup, lane);
}
