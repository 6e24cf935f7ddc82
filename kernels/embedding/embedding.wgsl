// Token and position embeddings of many positions:
//   x[m] = Σ_c table[c · V + ids[m, c]] + positions[call.start + m],   c < columns
// torch: nn.Embedding. The causal models have one column; the fine model sums codebooks 0 … n,
// whose eight tables lie one after the other in `w`.
// Grid: (⌈H / 512⌉, largest M); a thread computes 8 channels, M is call.count.
#include "common/weights.wgsl"
#include "common/call.wgsl"
struct Params {
  h: u32,       // H
  vocab: u32,   // V: rows from one table to the next
  pitch: u32,   // columns of ids
  columns: u32, // how many of them are summed
  plain: u32,   // for processors: w is rows of f32; here rows are rows in any case
}
@group(0) @binding(0) var<uniform>             params: Params;
@group(0) @binding(1) var<uniform>             call: Call;
@group(0) @binding(2) var<storage, read>       ids: array<u32>;             // (M, pitch)
@group(0) @binding(3) var<storage, read>       w: array<vec4<u32>>;         // (tables · V, H)
@group(0) @binding(4) var<storage, read>       positions: array<vec4<f32>>; // (block_size, H)
@group(0) @binding(5) var<storage, read_write> x: array<vec4<f32>>;         // (M, H)

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let i = wg.x * 64u + thread; // channels 8i … 8i + 7
  let m = wg.y;
  if (8u * i >= params.h || m >= call.count) { return; }
  let position = (call.start + m) * params.h / 4u + 2u * i;
  var lo = positions[position];
  var hi = positions[position + 1u];
  for (var c = 0u; c < params.columns; c++) {
    let row = weights8((c * params.vocab + ids[m * params.pitch + c]) * params.h / 8u + i);
    lo += row.lo;
    hi += row.hi;
  }
  x[m * params.h / 4u + 2u * i] = lo;
  x[m * params.h / 4u + 2u * i + 1u] = hi;
}
