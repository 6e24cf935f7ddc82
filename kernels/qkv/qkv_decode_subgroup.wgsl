// As qkv_decode.wgsl, as a variant for adapters with subgroups: a group of lanes is a subgroup and
// subgroupAdd adds them.
// Grid: (⌈3H / ROWS⌉, ⌈B / BATCH⌉)
// ROWS follows from the subgroup size that kernels/common/choices.ts (subgroupLanes) expects. Where
// the driver takes another size, a subgroup computes several groups or none.
enable subgroups;
// The loop over groups is uniform within a subgroup, which the uniformity analysis cannot see.
diagnostic(off, subgroup_uniformity);
#include "qkv/bindings_decode.wgsl"
#include "common/gemv_subgroup.wgsl"

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) thread: u32,
        @builtin(subgroup_id) subgroup: u32, @builtin(num_subgroups) subgroups: u32,
        @builtin(subgroup_invocation_id) lane: u32, @builtin(subgroup_size) size: u32) {
  let batch = wg.y * BATCH;
  if (all_done(batch)) { return; }
  let first = wg.x * ROWS;
  // Load the terms early, so that they have arrived when the products are done.
  let row_terms = terms_ahead(first, thread);
  for (var group = subgroup; group < GROUPS; group += subgroups) { gemv(first, batch, group, lane, size); }
  workgroupBarrier();
  store(first, batch, thread, row_terms);
}
