// Adds the lanes of a group with subgroupAdd: a group is a subgroup. No barrier until the results are shared.
fn group_sum(group: u32, lane: u32, s: Sums, t: Sums) {
  sum_four(group, lane, 0u, s);
  if (FOURS == 2u) { sum_four(group, lane, 1u, t); }
}

fn sum_four(group: u32, lane: u32, four: u32, s: Sums) {
  let t0 = subgroupAdd(s.a0);
  let t1 = subgroupAdd(s.a1);
  let t2 = subgroupAdd(s.a2);
  let t3 = subgroupAdd(s.a3);
  if (lane == 0u) {
    let at = four * ROWS + group * R;
    results[at] = t0;
    results[at + 1u] = t1;
    results[at + 2u] = t2;
    results[at + 3u] = t3;
  }
  if (NORM == 1u) {
    let m0 = subgroupAdd(s.sum);
    let m1 = subgroupAdd(s.squares);
    if (group == 0u && lane == 0u) {
      moments[2u * four] = m0;
      moments[2u * four + 1u] = m1;
    }
  }
}
