// As lstm.wgsl, as a variant for adapters with subgroups: the lanes of a unit are a subgroup,
// whatever its size, and subgroupAdd adds them.
// Grid: (⌈4 · quads / UNITS⌉, layers, B)
// UNITS follows from the smallest subgroup size of the adapter. Where subgroups are larger, each
// computes more than one unit, and none is idle.
enable subgroups;
// The loop over units is uniform within a subgroup, which the uniformity analysis cannot see.
diagnostic(off, subgroup_uniformity);
#include "lstm/step.wgsl"

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32,
        @builtin(subgroup_id) subgroup: u32, @builtin(num_subgroups) subgroups: u32,
        @builtin(subgroup_invocation_id) lane: u32, @builtin(subgroup_size) lanes: u32) {
  let step = step_of(group.y, all(group == vec3<u32>(0u)) && thread == 0u);
  if (step < 0 || step >= i32(p.steps)) { return; }
  for (var u = subgroup; u < UNITS; u += subgroups) {
    let unit = group.x * UNITS + u;
    let sum = subgroupAdd(partial_gates(group.y, step, unit, group.z, lane, lanes));
    if (lane == 0u) { update_unit(group.y, step, unit, group.z, sum); }
  }
}
