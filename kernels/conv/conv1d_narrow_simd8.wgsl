// As conv1d_narrow.wgsl, as a variant for drivers that compute on the CPU with subgroups of exactly
// 8 lanes, where C_in is a multiple of 4; common/gemm_simd8.wgsl says what is expensive there.
// Grid: (1, ⌈rows / 128⌉, B)
// A lane computes two rows, which are frames of y. Of four rows of the weight each of four lanes
// loads one, which is then shuffled to the others.
enable subgroups;
// A subgroup past the last row returns as a whole, which the uniformity analysis cannot see.
diagnostic(off, subgroup_uniformity);
#include "common/elu.wgsl"
#include "conv/bindings.wgsl"
#include "conv/conv_reflect.wgsl"
@group(0) @binding(0) var<uniform>             p: Params;
@group(0) @binding(1) var<storage, read>       x: array<vec4<f32>>; // (B, L, C_in)
@group(0) @binding(2) var<storage, read>       w: array<vec4<f32>>; // (taps · C_in, 4)
@group(0) @binding(3) var<storage, read>       bias: array<f32>;    // (N), unread without p.bias
@group(0) @binding(4) var<storage, read_write> y: array<f32>;       // (B, L', N)
// p.elu and p.n as constants, so that what is not needed is not loaded.
override ELU: u32 = 0u;
override N: u32 = 4u;

/// Channels 4i … 4i + 3 of the frame at `at`, ELU applied; zeros where `at` is negative.
fn four(at: i32, i: u32) -> vec4<f32> {
  let a = select(vec4<f32>(), x[u32(max(at, 0)) / 4u + i], at >= 0);
  if (ELU == 1u) { return elu(a); }
  return a;
}

/// The vec4 `v` of another lane.
fn row(v: vec4<f32>, lane: u32) -> vec4<f32> {
  return vec4<f32>(
    subgroupShuffle(v.x, lane), subgroupShuffle(v.y, lane), subgroupShuffle(v.z, lane), subgroupShuffle(v.w, lane));
}

/// Epilogue: writes the N channels of row m of a sentence; skips what is outside.
fn store(sentence: u32, m: u32, value: vec4<f32>) {
  if (m >= p.rows || m < p.skip) { return; }
  var v = value;
  let at = (sentence * p.y_rows + p.y_start + m - p.skip) * N;
  for (var i = 0u; i < N; i++) {
    if (p.bias == 1u) { v[i] += bias[i]; }
    if (p.residual == 1u) { v[i] += y[at + i]; }
    if (p.activate == 1u) { v[i] = elu(vec4<f32>(v[i])).x; }
    y[at + i] = v[i];
  }
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>,
        @builtin(subgroup_id) subgroup: u32, @builtin(subgroup_invocation_id) lane: u32) {
  let m = group.y * 128u + 16u * subgroup + lane;
  if (m - lane >= p.rows) { return; }
  var sum = vec4<f32>();
  var other = vec4<f32>(); // of the row eight further on
  var at_w = lane % 4u;
  for (var tap = 0u; tap < p.k / p.c_in; tap++) {
    let at = place(group.z, m, tap);
    let at_other = place(group.z, m + 8u, tap);
    for (var i = 0u; i < p.c_in / 4u; i++) {
      // Load four channels of both rows, and one of four rows of the weight.
      let a = four(at, i);
      let b = four(at_other, i);
      let weights = w[at_w];
      at_w += 4u;
      // Accumulate.
      let w4 = mat4x4<f32>(row(weights, 0u), row(weights, 1u), row(weights, 2u), row(weights, 3u));
      sum += w4 * a;
      other += w4 * b;
    }
  }
  store(group.z, m, sum);
  store(group.z, m + 8u, other);
}
