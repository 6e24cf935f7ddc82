// Convolution over time with reflected padding: y = conv(act(x)) + bias, or y += …
// torch: nn.Conv1d (groups 1) behind the padding of HF EncodecConv1d.
// Shapes: x (B, L, C_in), w (taps · C_in, n_pitch), bias (N), y (B, L', N), N = C_out.
// Grid: (⌈N / 32⌉, ⌈rows / 64⌉, B)
// The base file: portable core WGSL. conv/conv1d_narrow.wgsl is for at most four output channels.
#include "common/elu.wgsl"
#include "conv/bindings.wgsl"
#include "conv/conv_scalar.wgsl"
#include "conv/conv_reflect.wgsl"
#include "conv/conv_tile.wgsl"

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  conv(group.z, group.y, group.x, thread);
}
