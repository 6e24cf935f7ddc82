// Adds the lanes of a group through workgroup memory: core WGSL, for adapters without subgroups.
override PARTIALS: u32 = FOURS * R * WG;
override PARTIAL_MOMENTS: u32 = 2u * FOURS * LANES;
var<workgroup> partials: array<vec4<f32>, PARTIALS>; // [four][row of the workgroup][lane]
var<workgroup> partial_moments: array<vec4<f32>, PARTIAL_MOMENTS>; // [four][Σ x, Σ x²][lane]

fn group_sum(group: u32, lane: u32, s: Sums, t: Sums) {
  put(group, lane, 0u, s);
  if (FOURS == 2u) { put(group, lane, 1u, t); }
  workgroupBarrier();
  for (var r = group * LANES + lane; r < RESULTS; r += WG) {
    var total = vec4<f32>(0.0);
    for (var l = 0u; l < LANES; l++) { total += partials[r * LANES + l]; }
    results[r] = total;
  }
  if (NORM == 1u && group == 0u && lane < 2u * FOURS) {
    var total = vec4<f32>(0.0);
    for (var l = 0u; l < LANES; l++) { total += partial_moments[lane * LANES + l]; }
    moments[lane] = total;
  }
}

fn put(group: u32, lane: u32, four: u32, s: Sums) {
  let at = (four * ROWS + group * R) * LANES + lane;
  partials[at] = s.a0;
  partials[at + LANES] = s.a1;
  partials[at + 2u * LANES] = s.a2;
  partials[at + 3u * LANES] = s.a3;
  if (NORM == 1u && group == 0u) {
    partial_moments[2u * four * LANES + lane] = s.sum;
    partial_moments[(2u * four + 1u) * LANES + lane] = s.squares;
  }
}
