// What both row variants of `linear` share: bindings and epilogue.
#include "common/weights.wgsl"
#include "common/state.wgsl"
#include "common/gelu.wgsl"
@group(0) @binding(0) var<uniform>             state: array<Row, 16>;
@group(0) @binding(1) var<storage, read>       x: array<vec4<f32>>;     // (B, K)
@group(0) @binding(2) var<storage, read>       w: array<vec4<u32>>;     // (N, K)
@group(0) @binding(3) var<storage, read>       gain: array<vec4<f32>>;  // (K) LayerNorm weight, unread without NORM
@group(0) @binding(4) var<storage, read>       terms: array<f32>;       // (2, N) row sums and biases, unread without NORM and TERMS
@group(0) @binding(5) var<storage, read_write> y: array<f32>;           // (B, COUNT)
override GELU: u32 = 0u;
override RESIDUAL: u32 = 0u; // 1: add to what y holds
#include "common/gemv.wgsl"
#include "common/rows.wgsl"
override OFFSET_EVEN: u32 = 0u; // the first row of W in even steps, and in odd ones: Bark's coarse model draws from two codebooks in turn
override OFFSET_ODD: u32 = 0u;
override COUNT: u32 = N;        // rows of W from there on

fn offset() -> u32 {
  return select(OFFSET_EVEN, OFFSET_ODD, (state[0].step & 1u) == 1u); // the sentences of a batch step together
}

fn store(first: u32, batch: u32, thread: u32) {
  for (var r = thread; r < ROWS && first + r < COUNT; r += WG) {
    var v = finished(offset() + first, r);
    if (GELU == 1u) { v = gelu(v); }
    for (var j = 0u; j < BATCH; j++) {
      if (state[batch + j].done == 1u) { continue; }
      let at = (batch + j) * COUNT + first + r;
      if (RESIDUAL == 1u) { y[at] += v[j]; } else { y[at] = v[j]; }
    }
  }
}
