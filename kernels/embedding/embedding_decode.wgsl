// Token and position embedding of the token that each sentence of a decode step drew last:
//   x[b] = table[state.token] + positions[state.position]
// torch: nn.Embedding.
// Grid: (⌈H / 512⌉, B); a thread computes 8 channels.
#include "common/weights.wgsl"
#include "common/state.wgsl"
struct Params {
  h: u32, // H
}
@group(0) @binding(0) var<uniform>             params: Params;
@group(0) @binding(1) var<uniform>             state: array<Row, 16>;
@group(0) @binding(2) var<storage, read>       w: array<vec4<u32>>;         // (V, H)
@group(0) @binding(3) var<storage, read>       positions: array<vec4<f32>>; // (block_size, H)
@group(0) @binding(4) var<storage, read_write> x: array<vec4<f32>>;         // (B, H)

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let i = wg.x * 64u + thread; // channels 8i … 8i + 7
  let b = wg.y;
  if (8u * i >= params.h || state[b].done == 1u) { return; }
  let row = weights8(state[b].token * params.h / 8u + i);
  let position = state[b].position * params.h / 4u + 2u * i;
  x[b * params.h / 4u + 2u * i] = row.lo + positions[position];
  x[b * params.h / 4u + 2u * i + 1u] = row.hi + positions[position + 1u];
}
