// Adds the lanes of a group of common/gemv.wgsl through workgroup memory: core WGSL, for adapters
// without subgroups. LANES and WG are overrides of common/gemv.wgsl.
override PARTIALS: u32 = RESULTS * LANES;
override PARTIAL_MOMENTS: u32 = MOMENTS * LANES;
var<workgroup> partials: array<vec4<f32>, PARTIALS>;                // [result][lane]
var<workgroup> partial_moments: array<vec4<f32>, PARTIAL_MOMENTS>; // [moment][lane]

/// Writes the sums over the group's lanes to `results` and `moments`. Callers need a barrier after.
fn group_sum(group: u32, lane: u32, s: ptr<function, Sums>, t: ptr<function, Sums>) {
  for (var four = 0u; four < fours(); four++) {
    put(group, lane, four, *s);
    swap(s, t);
  }
  workgroupBarrier();
  // A thread adds up the lanes of every WG-th result.
  for (var r = group * LANES + lane; r < RESULTS; r += WG) {
    var total = vec4<f32>(0.0);
    for (var l = 0u; l < LANES; l++) { total += partials[r * LANES + l]; }
    results[r] = total;
  }
  if (NORM == 1u) {
    for (var m = group * LANES + lane; m < MOMENTS; m += WG) {
      var total = vec4<f32>(0.0);
      for (var l = 0u; l < LANES; l++) { total += partial_moments[m * LANES + l]; }
      moments[m] = total;
    }
  }
}

/// Writes one thread's sums of a four to `partials` and `partial_moments`.
fn put(group: u32, lane: u32, four: u32, s: Sums) {
  let part = group % SPLIT * FOURS + four;
  let at = (part * ROWS + group / SPLIT * R) * LANES + lane;
  partials[at] = s.a0;
  if (R > 1u) { partials[at + LANES] = s.a1; }
  if (R > 2u) {
    partials[at + 2u * LANES] = s.a2;
    partials[at + 3u * LANES] = s.a3;
  }
  if (NORM == 1u && group / SPLIT == 0u) {
    partial_moments[2u * part * LANES + lane] = s.sum;
    partial_moments[(2u * part + 1u) * LANES + lane] = s.squares;
  }
}
