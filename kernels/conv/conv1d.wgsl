// y = conv(act(x)) + bias, or y += …, with reflected padding. torch: nn.Conv1d behind HF
// EncodecConv1d's padding.
// Grid: (⌈n / 32⌉, ⌈rows / 64⌉, sentences). conv1d_narrow.wgsl is for few output channels.
#include "common/elu.wgsl"
#include "conv/bindings.wgsl"
#include "conv/conv_scalar.wgsl"
#include "conv/conv_reflect.wgsl"
#include "conv/conv_tile.wgsl"

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  conv(group.z, group.y, group.x, thread);
}
