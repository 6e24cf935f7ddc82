// Adds the lanes of a group through workgroup memory: core WGSL, for adapters without subgroups.
// The sizes have names because naga 29 (Deno) panics on override expressions within array<>.
override PARTIALS: u32 = R * WG;
override PARTIAL_MOMENTS: u32 = 2u * LANES;
var<workgroup> partials: array<vec4<f32>, PARTIALS>; // [row of the workgroup][lane]
var<workgroup> partial_moments: array<vec4<f32>, PARTIAL_MOMENTS>;

fn group_sum(group: u32, lane: u32, a0: vec4<f32>, a1: vec4<f32>, a2: vec4<f32>, a3: vec4<f32>, sum: vec4<f32>, squares: vec4<f32>) {
  let at = group * R * LANES + lane;
  partials[at] = a0;
  partials[at + LANES] = a1;
  partials[at + 2u * LANES] = a2;
  partials[at + 3u * LANES] = a3;
  if (NORM == 1u && group == 0u) {
    partial_moments[lane] = sum;
    partial_moments[LANES + lane] = squares;
  }
  workgroupBarrier();
  for (var r = group * LANES + lane; r < ROWS; r += WG) {
    var total = vec4<f32>(0.0);
    for (var l = 0u; l < LANES; l++) { total += partials[r * LANES + l]; }
    results[r] = total;
  }
  if (NORM == 1u && group == 0u && lane < 2u) {
    var total = vec4<f32>(0.0);
    for (var l = 0u; l < LANES; l++) { total += partial_moments[lane * LANES + l]; }
    moments[lane] = total;
  }
}
