// What the variants of `attention` for many queries share: bindings, and what stands for minus
// infinity.
#include "common/call.wgsl"
#include "common/cache.wgsl"
@group(0) @binding(0) var<uniform>             cache: Cache;
@group(0) @binding(1) var<uniform>             call: Call;
@group(0) @binding(2) var<storage, read>       q: array<vec4<f32>>;      // (M, H)
@group(0) @binding(3) var<storage, read>       keys: array<vec4<u32>>;   // (B, heads, capacity, head_dim)
@group(0) @binding(4) var<storage, read>       values: array<vec4<u32>>; // (B, heads, capacity, head_dim)
@group(0) @binding(5) var<storage, read_write> y: array<vec4<f32>>;      // (M, H)
#include "attention/load_kv.wgsl"
override CAUSAL: u32 = 1u;
const LOWEST = -3.4e38;
