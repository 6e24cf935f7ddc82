// lstm.wgsl with subgroupAdd: the lanes of a unit are a subgroup, whatever its size; UNITS follows
// the smallest size there is, so that larger ones take more than one turn and none has nothing to
// do. Grid: as there.
enable subgroups;
diagnostic(off, subgroup_uniformity); // the loop over units is uniform within a subgroup, which the analysis cannot see
#include "lstm/step.wgsl"

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32,
        @builtin(subgroup_id) subgroup: u32, @builtin(num_subgroups) subgroups: u32,
        @builtin(subgroup_invocation_id) lane: u32, @builtin(subgroup_size) lanes: u32) {
  let step = begin(group.y, all(group == vec3<u32>(0u)) && thread == 0u);
  if (step < 0 || step >= i32(p.steps)) { return; }
  for (var u = subgroup; u < UNITS; u += subgroups) {
    let unit = group.x * UNITS + u;
    let sum = subgroupAdd(walk(group.y, step, unit, group.z, lane, lanes));
    if (lane == 0u) { finish(group.y, step, unit, group.z, sum); }
  }
}
