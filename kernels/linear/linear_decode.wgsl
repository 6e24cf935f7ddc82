// y = act(W · norm(x) + bias), or y += …, for the B rows of x of a decode step.
// torch: nn.Linear on one position, with the LayerNorm before it folded in (common/gemv.wgsl).
// Shapes: x (B, K), W (N, K), y (B, count), of which `count` rows of W are computed.
// Grid: (⌈count / ROWS⌉, ⌈B / BATCH⌉)
// The base file: portable core WGSL, for adapters without subgroups.
#include "linear/bindings_decode.wgsl"
#include "common/gemv_portable.wgsl"

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let batch = wg.y * BATCH;
  if (all_done(batch)) { return; }
  let first = wg.x * ROWS;
  // Load the terms early, so that they have arrived when the products are done.
  let row_terms = terms_ahead(first, thread);
  gemv(offset() + first, batch, thread / LANES, thread % LANES, LANES);
  workgroupBarrier();
  store(first, batch, thread, row_terms);
}
