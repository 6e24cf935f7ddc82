// What both row variants of `qkv` share: bindings and epilogue.
#include "common/weights.wgsl"
#include "common/state.wgsl"
#include "common/gemv.wgsl"
#include "common/rows.wgsl"
#include "common/cache.wgsl"
@group(0) @binding(0) var<uniform>             sizes: Sizes;
@group(0) @binding(1) var<uniform>             cache: Cache;
@group(0) @binding(2) var<uniform>             state: array<Row, 16>;
@group(0) @binding(3) var<storage, read>       x: array<vec4<f32>>;     // (B, H)
@group(0) @binding(4) var<storage, read>       w: array<vec4<u32>>;     // (3H, H)
@group(0) @binding(5) var<storage, read>       gain: array<vec4<f32>>;  // (H) LayerNorm weight
@group(0) @binding(6) var<storage, read>       terms: array<f32>;       // (2, 3H) row sums and biases
@group(0) @binding(7) var<storage, read_write> q: array<f32>;           // (B, H)
@group(0) @binding(8) var<storage, read_write> keys: array<u32>;        // (B, heads, capacity, head_dim)
@group(0) @binding(9) var<storage, read_write> values: array<u32>;      // (B, heads, capacity, head_dim)
#include "common/qkv.wgsl"

fn store(first: u32, batch: u32, thread: u32) {
  // A thread takes two neighbouring rows: the cache holds halves in pairs.
  for (var r = 2u * thread; r < ROWS && first + r < sizes.n; r += 2u * WG) {
    let n = first + r;
    for (var four = 0u; four < FOURS; four++) {
      let even = finished(first, r, four);
      let odd = finished(first, r + 1u, four);
      for (var j = 4u * four; j < min(4u * four + 4u, tile_rows(batch)); j++) {
        let b = batch + j;
        if (state[b].done == 1u) { continue; }
        let pair = vec2<f32>(even[j % 4u], odd[j % 4u]);
        if (n < sizes.k) {
          q[b * sizes.k + n] = pair.x;
          q[b * sizes.k + n + 1u] = pair.y;
        } else if (state[b].position < cache.capacity) {
          store_kv(b, state[b].position, n - sizes.k, pair);
        }
      }
    }
  }
}
