// Bindings and epilogue of qkv_decode.wgsl and qkv_decode_subgroup.wgsl. common/gemv.wgsl says what
// `gain` and `terms` are for.
#include "common/weights.wgsl"
#include "common/state.wgsl"
#include "common/gemv.wgsl"
#include "common/all_done.wgsl"
#include "common/cache.wgsl"
@group(0) @binding(0) var<uniform>             sizes: Sizes;
@group(0) @binding(1) var<uniform>             cache: Cache;
@group(0) @binding(2) var<uniform>             state: array<Row, 16>;
@group(0) @binding(3) var<storage, read>       x: array<vec4<f32>>;     // (B, H)
@group(0) @binding(4) var<storage, read>       w: array<vec4<u32>>;     // (3H, H)
@group(0) @binding(5) var<storage, read>       gain: array<vec4<f32>>;  // (H) LayerNorm weight
@group(0) @binding(6) var<storage, read>       terms: array<f32>;       // (2, 3H) [s | b]
@group(0) @binding(7) var<storage, read_write> q: array<f32>;           // (B, H)
@group(0) @binding(8) var<storage, read_write> keys: array<u32>;        // (B, heads, capacity, D)
@group(0) @binding(9) var<storage, read_write> values: array<u32>;      // (B, heads, capacity, D)
#include "qkv/store_kv.wgsl"

/// The (s, b) of the two neighbouring rows that `thread` will store; two, because the cache holds
/// halves in pairs.
fn terms_ahead(first: u32, thread: u32) -> vec4<f32> {
  if (2u * thread < ROWS) { return vec4<f32>(terms_of(first + 2u * thread), terms_of(first + 2u * thread + 1u)); }
  return vec4<f32>();
}

/// Epilogue: writes two neighbouring outputs for every row of x of the tile that is not done.
fn store(first: u32, batch: u32, thread: u32, row_terms: vec4<f32>) {
  let r = 2u * thread;
  let n = first + r;
  if (r >= ROWS || n >= sizes.n) { return; }
  for (var four = 0u; four < fours(); four++) {
    let even = row_result(r, four, row_terms.xy);
    let odd = row_result(r + 1u, four, row_terms.zw);
    for (var j = four * SHARE; j < min((four + 1u) * SHARE, tile_rows(batch)); j++) {
      let b = batch + j;
      if (state[b].done == 1u) { continue; }
      let pair = vec2<f32>(even[j - four * SHARE], odd[j - four * SHARE]);
      if (n < sizes.k) {
        q[b * sizes.k + n] = pair.x;
        q[b * sizes.k + n + 1u] = pair.y;
      } else if (state[b].position < cache.capacity) {
        store_kv(b, state[b].position, n - sizes.k, pair);
      }
    }
  }
}
