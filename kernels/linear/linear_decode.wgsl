// y = act(W · norm(x) + bias), or y += …, for the B rows of a decode step. torch: nn.Linear on one
// position, LayerNorm folded in.
// Grid: (⌈COUNT / ROWS⌉, ⌈B / BATCH⌉). Portable: no subgroups.
#include "linear/bindings_decode.wgsl"
#include "common/gemv_portable.wgsl"

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let batch = wg.y * BATCH;
  if (all_done(batch)) { return; }
  let first = wg.x * ROWS;
  let own = terms_ahead(first, thread);
  walk(offset() + first, batch, thread / LANES, thread % LANES, LANES);
  workgroupBarrier();
  store(first, batch, thread, own);
}
