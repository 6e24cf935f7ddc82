// As conv1d.wgsl, as a variant for drivers that compute on the CPU with subgroups of exactly 8
// lanes, where C_in and N are multiples of 4 (conv/conv_simd8.wgsl).
// Grid: (⌈N / 32⌉, ⌈rows / 64⌉, B)
enable subgroups;
// A subgroup past the last row skips the loop as a whole, which the uniformity analysis cannot see.
diagnostic(off, subgroup_uniformity);
#include "common/elu.wgsl"
#include "conv/bindings.wgsl"
#include "conv/conv_reflect.wgsl"
#include "conv/conv_simd8.wgsl"

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>,
        @builtin(subgroup_id) subgroup: u32, @builtin(subgroup_invocation_id) lane: u32) {
  conv(group.z, group.y, group.x, subgroup, lane);
}
