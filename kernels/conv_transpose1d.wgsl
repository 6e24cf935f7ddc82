// y = convTranspose(act(x)) + bias, trimmed. torch: nn.ConvTranspose1d behind HF EncodecConvTranspose1d's trimming.
// One product: row q of its result is the `stride` frames of y that begin at q · stride, row q of its left operand the few frames of x that
// reach them; the trimming lies in the weight's order (conv_transpose1d.ts).
// Grid: (⌈n / 32⌉, ⌈rows / 64⌉, sentences); n is stride · channels.
#include "common/elu.wgsl"
#include "common/conv.wgsl"
#include "common/conv_zeros.wgsl"
#include "common/conv_scalar.wgsl"
#include "common/conv_tile.wgsl"
@group(0) @binding(0) var<uniform>             p: Params;
@group(0) @binding(1) var<storage, read>       x: array<f32>;           // (B, T, c_in)
@group(0) @binding(2) var<storage, read>       quads: array<vec4<f32>>; // x
@group(0) @binding(3) var<storage, read>       w: array<vec4<f32>>;     // (taps · c_in, n_pitch)
@group(0) @binding(4) var<storage, read>       bias: array<f32>;        // (n), unread without bias
@group(0) @binding(5) var<storage, read_write> y: array<f32>;           // (B, T, n) = (B, T · stride, channels)

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  conv(group.z, group.y, group.x, thread);
}
