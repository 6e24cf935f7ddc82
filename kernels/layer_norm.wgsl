// y = (x − mean) / √(variance + eps) · weight + bias over the last dimension, for many rows; biased variance in two passes, f32.
// torch: nn.LayerNorm. One workgroup a row. Grid: (most rows); those past call.count leave at once.
#include "common/call.wgsl"
struct Params {
  c: u32,    // channels, a multiple of 8
  bias: u32, // 1: there is one
  eps: f32,
}
@group(0) @binding(0) var<uniform>             p: Params;
@group(0) @binding(1) var<uniform>             call: Call;
@group(0) @binding(2) var<storage, read>       x: array<vec4<f32>>;      // (M, C)
@group(0) @binding(3) var<storage, read>       weight: array<vec4<f32>>; // (C)
@group(0) @binding(4) var<storage, read>       bias: array<vec4<f32>>;   // (C), unread without p.bias
@group(0) @binding(5) var<storage, read_write> y: array<vec4<f32>>;      // (M, C)
override WG: u32 = 64u;

var<workgroup> partial: array<f32, WG>;

fn sum_of_all(thread: u32, value: f32) -> f32 {
  workgroupBarrier();
  partial[thread] = value;
  workgroupBarrier();
  var total = 0.0;
  for (var i = 0u; i < WG; i++) { total += partial[i]; }
  return total;
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let row = wg.x;
  if (row >= call.count) { return; }
  let quads = p.c / 4u;
  var sum = 0.0;
  for (var i = thread; i < quads; i += WG) { sum += dot(x[row * quads + i], vec4<f32>(1.0)); }
  let mean = sum_of_all(thread, sum) / f32(p.c);
  var squares = 0.0;
  for (var i = thread; i < quads; i += WG) {
    let d = x[row * quads + i] - mean;
    squares += dot(d, d);
  }
  let rstd = inverseSqrt(sum_of_all(thread, squares) / f32(p.c) + p.eps);
  for (var i = thread; i < quads; i += WG) {
    var v = (x[row * quads + i] - mean) * rstd * weight[i];
    if (p.bias == 1u) { v += bias[i]; }
    y[row * quads + i] = v;
  }
}
