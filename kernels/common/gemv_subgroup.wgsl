// Adds the lanes of a group with subgroupAdd: a group is a subgroup. No barrier until the results are shared.
fn group_sum(group: u32, lane: u32, a0: vec4<f32>, a1: vec4<f32>, a2: vec4<f32>, a3: vec4<f32>, sum: vec4<f32>, squares: vec4<f32>) {
  let t0 = subgroupAdd(a0);
  let t1 = subgroupAdd(a1);
  let t2 = subgroupAdd(a2);
  let t3 = subgroupAdd(a3);
  if (lane == 0u) {
    results[group * R] = t0;
    results[group * R + 1u] = t1;
    results[group * R + 2u] = t2;
    results[group * R + 3u] = t3;
  }
  if (NORM == 1u) {
    let m0 = subgroupAdd(sum);
    let m1 = subgroupAdd(squares);
    if (group == 0u && lane == 0u) {
      moments[0] = m0;
      moments[1] = m1;
    }
  }
}
