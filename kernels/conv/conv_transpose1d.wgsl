// y = convTranspose(act(x)) + bias, trimmed. torch: nn.ConvTranspose1d behind HF
// EncodecConvTranspose1d's trimming.
// One product: row q of its result is the `stride` frames of y that begin at q · stride, row q of
// its left operand the few frames of x that reach them; the trimming lies in the weight's order
// (conv_transpose1d.ts).
// Grid: (⌈n / 32⌉, ⌈rows / 64⌉, sentences); n is stride · channels.
#include "common/elu.wgsl"
#include "conv/bindings.wgsl"
#include "conv/conv_zeros.wgsl"
#include "conv/conv_scalar.wgsl"
#include "conv/conv_tile.wgsl"

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  conv(group.z, group.y, group.x, thread);
}
