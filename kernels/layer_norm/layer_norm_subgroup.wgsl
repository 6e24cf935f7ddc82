// layer_norm with a subgroup for each row: no workgroup memory, no barrier. Grid: (⌈most rows /
// ROWS⌉); ROWS follows the size of subgroups that choice.ts expects; where it is another, a
// subgroup takes several rows or none.
enable subgroups;
diagnostic(off, subgroup_uniformity); // the loop over rows is uniform within a subgroup, which the analysis cannot see
#include "layer_norm/bindings.wgsl"
override ROWS: u32 = 8u; // of a workgroup

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(subgroup_id) subgroup: u32, @builtin(num_subgroups) subgroups: u32,
        @builtin(subgroup_invocation_id) lane: u32, @builtin(subgroup_size) lanes: u32) {
  for (var i = subgroup; i < ROWS; i += subgroups) {
    let row = wg.x * ROWS + i;
    if (row >= call.count) { return; }
    let mean = subgroupAdd(sum_of(row, lane, lanes)) / f32(p.c);
    store(row, mean, subgroupAdd(squares_of(row, mean, lane, lanes)), lane, lanes);
  }
}
