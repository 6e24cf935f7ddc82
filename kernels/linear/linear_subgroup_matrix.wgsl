// As linear.wgsl, as a variant on the subgroup's matrix unit (common/gemm_subgroup_matrix.wgsl). It
// rounds x to f16, so it is chosen only where weights are f16, N is a multiple of 4 and the adapter
// has a unit that the kernels know. kernels/common/subgroup_matrix.ts also gives the constants.
// Grid: (⌈N / TILE_N⌉, ⌈largest M / TILE_M⌉); workgroups past row call.count return at once.
enable f16;
enable subgroups;
enable subgroup_size_control;
enable chromium_experimental_subgroup_matrix;
#include "linear/bindings_vec4.wgsl"
#include "common/gemm_subgroup_matrix.wgsl"

@compute @workgroup_size(THREADS) @subgroup_size(SUBGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>,
        @builtin(subgroup_id) subgroup: u32, @builtin(local_invocation_index) thread: u32) {
  if (group.y * TILE_M >= call.count) { return; }
  gemm(group.y, group.x, subgroup, thread);
}
