// Bindings and steps of layer_norm.wgsl and layer_norm_subgroup.wgsl. M is call.count.
#include "common/call.wgsl"
struct Params {
  c: u32,    // C: channels, a multiple of 8
  bias: u32, // 1: there is one
  eps: f32,
}
@group(0) @binding(0) var<uniform>             p: Params;
@group(0) @binding(1) var<uniform>             call: Call;
@group(0) @binding(2) var<storage, read>       x: array<vec4<f32>>;      // (M, C)
@group(0) @binding(3) var<storage, read>       weight: array<vec4<f32>>; // (C)
@group(0) @binding(4) var<storage, read>       bias: array<vec4<f32>>;   // (C), unread without p.bias
@group(0) @binding(5) var<storage, read_write> y: array<vec4<f32>>;      // (M, C)
override WG: u32 = 64u; // threads of a workgroup

/// Σ x over this thread's channels of a row, which `threads` threads share.
fn sum_of(row: u32, thread: u32, threads: u32) -> f32 {
  var sum = vec4<f32>();
  for (var i = thread; i < p.c / 4u; i += threads) { sum += x[row * (p.c / 4u) + i]; }
  return dot(sum, vec4<f32>(1.0));
}

/// Σ (x − mean)² over the same channels.
fn squares_of(row: u32, mean: f32, thread: u32, threads: u32) -> f32 {
  var squares = vec4<f32>();
  for (var i = thread; i < p.c / 4u; i += threads) {
    let d = x[row * (p.c / 4u) + i] - mean;
    squares += d * d;
  }
  return dot(squares, vec4<f32>(1.0));
}

/// Normalises this thread's channels of a row and writes them; `squares` is Σ (x − mean)² of the
/// row.
fn store(row: u32, mean: f32, squares: f32, thread: u32, threads: u32) {
  let rstd = inverseSqrt(squares / f32(p.c) + p.eps);
  for (var i = thread; i < p.c / 4u; i += threads) {
    var v = (x[row * (p.c / 4u) + i] - mean) * rstd * weight[i];
    if (p.bias == 1u) { v += bias[i]; }
    y[row * (p.c / 4u) + i] = v;
  }
}
