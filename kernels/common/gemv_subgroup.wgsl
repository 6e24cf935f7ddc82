// Adds the lanes of a group of common/gemv.wgsl with subgroupAdd, for adapters with subgroups: a
// group is a subgroup. There is no barrier until the results are shared.

/// Writes the sums over the group's lanes to `results` and `moments`. Callers need a barrier after.
fn group_sum(group: u32, lane: u32, s: ptr<function, Sums>, t: ptr<function, Sums>) {
  for (var four = 0u; four < fours(); four++) {
    sum_four(group, lane, four, *s);
    swap(s, t);
  }
}

/// The same for the sums of one four.
fn sum_four(group: u32, lane: u32, four: u32, s: Sums) {
  let part = group % SPLIT * FOURS + four;
  let at = part * ROWS + group / SPLIT * R;
  let t0 = sum_lanes(s.a0);
  if (lane == 0u) { results[at] = t0; }
  if (R > 1u) {
    let t1 = sum_lanes(s.a1);
    if (lane == 0u) { results[at + 1u] = t1; }
  }
  if (R > 2u) {
    let t2 = sum_lanes(s.a2);
    let t3 = sum_lanes(s.a3);
    if (lane == 0u) {
      results[at + 2u] = t2;
      results[at + 3u] = t3;
    }
  }
  if (NORM == 1u && group / SPLIT == 0u) {
    let m0 = sum_lanes(s.sum);
    let m1 = sum_lanes(s.squares);
    if (lane == 0u) {
      moments[2u * part] = m0;
      moments[2u * part + 1u] = m1;
    }
  }
}

/// Σ over the lanes of the first SHARE components; the others are zero. Each component costs a
/// shuffle for every power of two below the number of lanes.
fn sum_lanes(v: vec4<f32>) -> vec4<f32> {
  if (SHARE == 1u) { return vec4<f32>(subgroupAdd(v.x), 0.0, 0.0, 0.0); }
  if (SHARE == 2u) { return vec4<f32>(subgroupAdd(v.xy), 0.0, 0.0); }
  return subgroupAdd(v);
}
