// LayerNorm over the last dimension of many rows:
//   y = (x − mean) / √(variance + eps) · weight + bias
// in f32, with the biased variance in a second pass.
// torch: nn.LayerNorm.
// Shapes: x and y (M, C), weight and bias (C).
// Grid: (largest M), one workgroup a row; those past row call.count return at once.
// The base file: portable core WGSL, for adapters without subgroups.
#include "layer_norm/bindings.wgsl"
#include "common/reduce.wgsl"

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let row = wg.x;
  if (row >= call.count) { return; }
  let mean = workgroup_sum(thread, sum_of(row, thread, WG)) / f32(p.c);
  store(row, mean, workgroup_sum(thread, squares_of(row, mean, thread, WG)), thread, WG);
}
