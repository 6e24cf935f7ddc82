// linear_row with subgroupAdd. A group of lanes is a subgroup, whatever its size on the adapter;
// ROWS follows what choice.ts expects, so where it is another, a subgroup takes several turns or
// none.
enable subgroups;
// the loop over groups is uniform within a subgroup, which the analysis cannot see
diagnostic(off, subgroup_uniformity);
#include "linear/bindings_decode.wgsl"
#include "common/gemv_subgroup.wgsl"

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) thread: u32,
        @builtin(subgroup_id) subgroup: u32, @builtin(num_subgroups) subgroups: u32,
        @builtin(subgroup_invocation_id) lane: u32, @builtin(subgroup_size) size: u32) {
  let batch = wg.y * BATCH;
  if (all_done(batch)) { return; }
  let first = wg.x * ROWS;
  let own = terms_ahead(first, thread);
  for (var group = subgroup; group < GROUPS; group += subgroups) { walk(offset() + first, batch, group, lane, size); }
  workgroupBarrier();
  store(first, batch, thread, own);
}
