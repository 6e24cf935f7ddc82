// As layer_norm.wgsl, as a variant for adapters with subgroups: a subgroup computes a row, without
// workgroup memory and without barriers.
// Grid: (⌈largest M / ROWS⌉)
// ROWS follows from the subgroup size that kernels/common/choices.ts (subgroupLanes) expects. Where
// the driver takes another size, a subgroup computes several rows or none.
enable subgroups;
// The loop over rows is uniform within a subgroup, which the uniformity analysis cannot see.
diagnostic(off, subgroup_uniformity);
#include "layer_norm/bindings.wgsl"
override ROWS: u32 = 8u; // rows of a workgroup

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wg: vec3<u32>,
        @builtin(subgroup_id) subgroup: u32, @builtin(num_subgroups) subgroups: u32,
        @builtin(subgroup_invocation_id) lane: u32, @builtin(subgroup_size) lanes: u32) {
  for (var i = subgroup; i < ROWS; i += subgroups) {
    let row = wg.x * ROWS + i;
    if (row >= call.count) { return; }
    let mean = subgroupAdd(sum_of(row, lane, lanes)) / f32(p.c);
    store(row, mean, subgroupAdd(squares_of(row, mean, lane, lanes)), lane, lanes);
  }
}
