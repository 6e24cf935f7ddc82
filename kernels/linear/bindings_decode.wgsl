// Bindings and epilogue of linear_decode.wgsl and linear_decode_subgroup.wgsl. common/gemv.wgsl
// says what `gain` and `terms` are for.
#include "common/weights.wgsl"
#include "common/state.wgsl"
#include "common/gelu.wgsl"
#include "common/gemv.wgsl"
#include "common/all_done.wgsl"
@group(0) @binding(0) var<uniform>             sizes: Sizes;
@group(0) @binding(1) var<uniform>             state: array<Row, 16>;
@group(0) @binding(2) var<storage, read>       x: array<vec4<f32>>;     // (B, K)
@group(0) @binding(3) var<storage, read>       w: array<vec4<u32>>;     // (N, K)
@group(0) @binding(4) var<storage, read>       gain: array<vec4<f32>>;  // (K) LayerNorm weight, unread without NORM
@group(0) @binding(5) var<storage, read>       terms: array<f32>;       // (2, N) [s | b], unread without norm and bias
@group(0) @binding(6) var<storage, read_write> y: array<f32>;           // (B, sizes.count)

/// The first row of W that this step computes. All sentences of a batch are at the same step.
fn offset() -> u32 {
  return select(sizes.even, sizes.odd, (state[0].step & 1u) == 1u);
}

/// The (s, b) of the row that `thread` will store.
fn terms_ahead(first: u32, thread: u32) -> vec2<f32> {
  if (thread < ROWS) { return terms_of(offset() + first + thread); }
  return vec2<f32>();
}

/// Epilogue: writes y of row `r` of the workgroup for every row of x of the tile that is not done.
fn store(first: u32, batch: u32, r: u32, row_terms: vec2<f32>) {
  if (r >= ROWS || first + r >= sizes.count) { return; }
  for (var four = 0u; four < fours(); four++) {
    var v = row_result(r, four, row_terms);
    if (sizes.gelu == 1u) { v = gelu(v); }
    for (var j = four * SHARE; j < min((four + 1u) * SHARE, tile_rows(batch)); j++) {
      if (state[batch + j].done == 1u) { continue; }
      let at = (batch + j) * sizes.count + first + r;
      if (sizes.residual == 1u) { y[at] += v[j - four * SHARE]; } else { y[at] = v[j - four * SHARE]; }
    }
  }
}
