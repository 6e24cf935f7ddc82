// As conv1d.wgsl, for drivers that compute on the CPU with subgroups of 8 lanes, and whole vec4s of
// channels (common/conv_lanes.wgsl).
// Grid: (⌈n / 32⌉, ⌈rows / 64⌉, sentences).
enable subgroups;
diagnostic(off, subgroup_uniformity); // subgroups beyond the last row skip the walk, whole
#include "common/elu.wgsl"
#include "conv/bindings.wgsl"
#include "conv/conv_reflect.wgsl"
#include "conv/conv_simd8.wgsl"

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(subgroup_id) subgroup: u32, @builtin(subgroup_invocation_id) lane: u32) {
  conv(group.z, group.y, group.x, subgroup, lane);
}
