// Transposed convolution over time, trimmed: y = convTranspose(act(x)) + bias.
// torch: nn.ConvTranspose1d (groups 1) before the trimming of HF EncodecConvTranspose1d.
// Shapes: x (B, L, C_in), w (taps · C_in, n_pitch), bias (N), y (B, L, N), N = stride · C_out; in
// memory y is (B, L · stride, C_out).
// Grid: (⌈N / 32⌉, ⌈rows / 64⌉, B)
// The base file: portable core WGSL.
//
// It is one product. Row q of the result is the `stride` frames of y from q · stride on; row q of
// the left operand is the few frames of x that reach them. The order of the packed weight includes
// the trimming (conv/conv_transpose1d.ts, packConvTranspose1d).
#include "common/elu.wgsl"
#include "conv/bindings.wgsl"
#include "conv/conv_zeros.wgsl"
#include "conv/conv_scalar.wgsl"
#include "conv/conv_tile.wgsl"

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  conv(group.z, group.y, group.x, thread);
}
