// Bindings and epilogue of qkv.wgsl, qkv_simd8.wgsl and qkv_subgroup_matrix.wgsl. M is call.count,
// K is H and N is 3H.
#include "common/gemm_sizes.wgsl"
#include "common/weights.wgsl"
#include "common/call.wgsl"
#include "common/cache.wgsl"
@group(0) @binding(0) var<uniform>             sizes: Sizes;
@group(0) @binding(1) var<uniform>             cache: Cache;
@group(0) @binding(2) var<uniform>             call: Call;
@group(0) @binding(3) var<storage, read>       x: array<vec4<f32>>;     // (M, H), normalised
@group(0) @binding(4) var<storage, read>       w: array<vec4<u32>>;     // (3H, H)
@group(0) @binding(5) var<storage, read>       bias: array<f32>;        // (3H), unread without sizes.bias
@group(0) @binding(6) var<storage, read_write> q: array<vec4<f32>>;     // (M, H)
@group(0) @binding(7) var<storage, read_write> keys: array<u32>;        // (B, heads, capacity, D)
@group(0) @binding(8) var<storage, read_write> values: array<u32>;      // (B, heads, capacity, D)
#include "qkv/store_kv.wgsl"

/// Epilogue: writes outputs n … n + 3 of position m; skips what is outside.
fn store(m: u32, n: u32, value: vec4<f32>) {
  let position = call.start + m;
  if (m >= call.count || n >= sizes.n || position >= cache.capacity) { return; }
  var v = value;
  if (sizes.bias == 1u) { v += vec4<f32>(bias[n], bias[n + 1u], bias[n + 2u], bias[n + 3u]); }
  if (n < sizes.k) {
    q[(m * sizes.k + n) / 4u] = v;
  } else {
    store_kv(call.slot, position, n - sizes.k, v.xy);
    store_kv(call.slot, position, n - sizes.k + 2u, v.zw);
  }
}
