// q, k, v = W · LayerNorm(x) + bias for the B rows of a decode step; queries to q, keys and values
// to the cache at each row's position. torch: layernorm_1, att_proj, and the concatenation with the
// cache. Grid: (⌈3H / ROWS⌉, ⌈B / BATCH⌉). Portable: no subgroups.
#include "qkv/bindings_decode.wgsl"
#include "common/gemv_portable.wgsl"

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let batch = wg.y * BATCH;
  if (all_done(batch)) { return; }
  let first = wg.x * ROWS;
  let own = terms_ahead(first, thread);
  walk(first, batch, thread / LANES, thread % LANES, LANES);
  workgroupBarrier();
  store(first, batch, thread, own);
}
