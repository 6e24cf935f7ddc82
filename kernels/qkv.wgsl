// q, k, v = x · Wᵀ + bias for many positions of one sentence; queries to q, keys and values to the cache at call.start + m.
// torch: att_proj of Bark's attention, and the concatenation with the cache. Grid: (⌈3H / 64⌉, ⌈most positions / 64⌉).
#include "common/weights.wgsl"
#include "common/call.wgsl"
#include "common/gemm.wgsl"
#include "common/cache.wgsl"
@group(0) @binding(0) var<uniform>             sizes: Sizes;
@group(0) @binding(1) var<uniform>             cache: Cache;
@group(0) @binding(2) var<uniform>             call: Call;
@group(0) @binding(3) var<storage, read>       x: array<vec4<f32>>;     // (M, H) normalised
@group(0) @binding(4) var<storage, read>       w: array<vec4<u32>>;     // (3H, H)
@group(0) @binding(5) var<storage, read>       bias: array<f32>;        // (3H), unread without sizes.bias
@group(0) @binding(6) var<storage, read_write> q: array<vec4<f32>>;     // (M, H)
@group(0) @binding(7) var<storage, read_write> keys: array<u32>;        // (B, heads, capacity, head_dim)
@group(0) @binding(8) var<storage, read_write> values: array<u32>;      // (B, heads, capacity, head_dim)
#include "common/qkv.wgsl"

fn load_a(m: u32, k: u32) -> vec4<f32> {
  if (m >= call.count || k >= sizes.k) { return vec4<f32>(0.0); }
  return x[(m * sizes.k + k) / 4u];
}

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

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  if (group.y * TILE >= call.count) { return; }
  gemm(group.y, group.x, thread);
}
