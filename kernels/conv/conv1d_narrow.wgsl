// As conv1d.wgsl, for at most four output channels (the codec's last convolution has one). A tile
// would be almost empty, so each thread computes one row, a frame of y.
// Grid: (1, ⌈rows / 64⌉, B)
// Portable core WGSL.
#include "common/elu.wgsl"
#include "conv/bindings.wgsl"
#include "conv/conv_scalar.wgsl"
#include "conv/conv_reflect.wgsl"

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let m = group.y * 64u + thread;
  var sum = vec4<f32>(0.0);
  var tap = 0u;
  var channel = 0u;
  // Accumulate four columns of the window at a time.
  for (var k = 0u; k < p.k; k += 4u) {
    let a = window(group.z, m, k, tap, channel);
    for (var i = 0u; i < 4u && k + i < p.k; i++) { sum += a[i] * w[k + i]; } // n_pitch is 4: a row of w is one vec4
    for (channel += 4u; channel >= p.c_in; channel -= p.c_in) { tap++; }
  }
  store(group.z, m, 0u, sum);
}
