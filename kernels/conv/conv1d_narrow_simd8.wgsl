// As conv1d_narrow.wgsl, for drivers that compute on the CPU with subgroups of 8 lanes, and whole
// vec4s of channels; gemm_lanes.wgsl says what is dear there. A lane makes two frames; of the
// weights of four columns each lane of four loads one, and hands it on.
// Grid: (1, ⌈rows / 128⌉, sentences).
enable subgroups;
diagnostic(off, subgroup_uniformity); // subgroups beyond the last row leave, whole
#include "common/elu.wgsl"
#include "conv/bindings.wgsl"
#include "conv/conv_reflect.wgsl"
@group(0) @binding(0) var<uniform>             p: Params;
@group(0) @binding(1) var<storage, read>       x: array<vec4<f32>>; // (B, T, c_in)
@group(0) @binding(2) var<storage, read>       w: array<vec4<f32>>; // (taps · c_in, 4)
@group(0) @binding(3) var<storage, read>       bias: array<f32>;    // (n), unread without bias
@group(0) @binding(4) var<storage, read_write> y: array<f32>;       // (B, T', n)
override ELU: u32 = 0u; // p.elu and p.n, but known to the compiler: what is not needed is not loaded
override N: u32 = 4u;

fn four(at: i32, i: u32) -> vec4<f32> {
  let a = select(vec4<f32>(), x[u32(max(at, 0)) / 4u + i], at >= 0);
  if (ELU == 1u) { return elu(a); }
  return a;
}

fn row(v: vec4<f32>, lane: u32) -> vec4<f32> {
  return vec4<f32>(subgroupShuffle(v.x, lane), subgroupShuffle(v.y, lane), subgroupShuffle(v.z, lane), subgroupShuffle(v.w, lane));
}

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
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(subgroup_id) subgroup: u32, @builtin(subgroup_invocation_id) lane: u32) {
  let m = group.y * 128u + 16u * subgroup + lane;
  if (m - lane >= p.rows) { return; }
  var sum = vec4<f32>();
  var other = vec4<f32>(); // eight frames on
  var at_w = lane % 4u;
  for (var tap = 0u; tap < p.k / p.c_in; tap++) {
    let at = place(group.z, m, tap);
    let at_other = place(group.z, m + 8u, tap);
    for (var i = 0u; i < p.c_in / 4u; i++) {
      let a = four(at, i);
      let b = four(at_other, i);
      let weights = w[at_w];
      at_w += 4u;
      let w4 = mat4x4<f32>(row(weights, 0u), row(weights, 1u), row(weights, 2u), row(weights, 3u));
      sum += w4 * a;
      other += w4 * b;
    }
  }
  store(group.z, m, sum);
  store(group.z, m + 8u, other);
}
