// conv1d.wgsl for at most four output channels (the last convolution has one): a tile would be all
// but empty, so each thread makes one frame alone. Grid: (1, ⌈rows / 64⌉, sentences).
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
  for (var k = 0u; k < p.k; k += 4u) {
    let a = window(group.z, m, k, tap, channel);
    for (var i = 0u; i < 4u && k + i < p.k; i++) { sum += a[i] * w[k + i]; } // n_pitch is 4
    for (channel += 4u; channel >= p.c_in; channel -= p.c_in) { tap++; }
  }
  store(group.z, m, 0u, sum);
}
