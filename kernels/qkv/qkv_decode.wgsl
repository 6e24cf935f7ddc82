// q, k, v = W · LayerNorm(x) + bias for the B rows of x of a decode step. Queries go to q, keys and
// values to the cache at each sentence's position.
// torch: layernorm_1, att_proj of Bark's attention and the concatenation with the cache.
// Shapes: x (B, H), W (3H, H), q (B, H), keys and values (B, heads, capacity, D), H = heads · D.
// Grid: (⌈3H / ROWS⌉, ⌈B / BATCH⌉)
// The base file: portable core WGSL, for adapters without subgroups.
#include "qkv/bindings_decode.wgsl"
#include "common/gemv_portable.wgsl"

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let batch = wg.y * BATCH;
  if (all_done(batch)) { return; }
  let first = wg.x * ROWS;
  // Load the terms early, so that they have arrived when the products are done.
  let row_terms = terms_ahead(first, thread);
  gemv(first, batch, thread / LANES, thread % LANES, LANES);
  workgroupBarrier();
  store(first, batch, thread, row_terms);
}
