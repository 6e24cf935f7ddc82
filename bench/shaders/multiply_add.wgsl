// Twelve chains of c = c / 2 + 1, in four lanes each: multiply-adds that touch no memory. All end
// at 2, so that what was computed can be checked.
// Grid: (groups)
@group(0) @binding(0) var<uniform>             sizes: vec4<u32>;  // rounds
@group(0) @binding(1) var<storage, read_write> sums: array<f32>;  // (groups · 256)

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  var c: array<vec4<f32>, 12>;
  for (var round = 0u; round < sizes.x; round++) {
    for (var i = 0u; i < 12u; i++) { c[i] = fma(c[i], vec4(0.5), vec4(1.0)); }
  }
  var sum = vec4<f32>();
  for (var i = 0u; i < 12u; i++) { sum += c[i]; }
  sums[id.x] = (sum.x + sum.y) + (sum.z + sum.w);
}
