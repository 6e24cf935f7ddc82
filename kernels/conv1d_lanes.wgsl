// As conv1d.wgsl, for drivers that compute on the CPU with subgroups of 8 lanes, and whole vec4s of channels (common/conv_lanes.wgsl).
// Grid: (⌈n / 32⌉, ⌈rows / 64⌉, sentences).
enable subgroups;
diagnostic(off, subgroup_uniformity); // subgroups beyond the last row skip the walk, whole
#include "common/elu.wgsl"
#include "common/conv.wgsl"
#include "common/conv_reflect.wgsl"
#include "common/conv_lanes.wgsl"
@group(0) @binding(0) var<uniform>             p: Params;
@group(0) @binding(1) var<storage, read>       x: array<vec4<f32>>;    // (B, T, c_in)
@group(0) @binding(2) var<storage, read>       w: array<vec4<f32>>;    // (taps · c_in, n_pitch)
@group(0) @binding(3) var<storage, read>       bias: array<vec4<f32>>; // (n), unread without bias
@group(0) @binding(4) var<storage, read_write> y: array<vec4<f32>>;    // (B, T', n)

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(subgroup_id) subgroup: u32, @builtin(subgroup_invocation_id) lane: u32) {
  conv(group.z, group.y, group.x, subgroup, lane);
}
