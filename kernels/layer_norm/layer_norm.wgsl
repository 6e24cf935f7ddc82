// y = (x − mean) / √(variance + eps) · weight + bias over the last dimension, for many rows; biased
// variance in two passes, f32.
// torch: nn.LayerNorm. One workgroup a row. Grid: (most rows); those past call.count leave at once.
#include "layer_norm/bindings.wgsl"
#include "common/reduce.wgsl"

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let row = wg.x;
  if (row >= call.count) { return; }
  let mean = workgroup_sum(thread, sum_of(row, thread, WG)) / f32(p.c);
  store(row, mean, workgroup_sum(thread, squares_of(row, mean, thread, WG)), thread, WG);
}
