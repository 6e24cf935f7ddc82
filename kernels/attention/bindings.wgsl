// Bindings of attention.wgsl and attention_simd8.wgsl. M is call.count, P is call.start and
// H = heads · D. `keys` and `values` hold P + M of the `capacity` positions.
#include "common/call.wgsl"
#include "common/cache.wgsl"
@group(0) @binding(0) var<uniform>             cache: Cache;
@group(0) @binding(1) var<uniform>             call: Call;
@group(0) @binding(2) var<storage, read>       q: array<vec4<f32>>;      // (M, H)
@group(0) @binding(3) var<storage, read>       keys: array<vec4<u32>>;   // (B, heads, capacity, D)
@group(0) @binding(4) var<storage, read>       values: array<vec4<u32>>; // (B, heads, capacity, D)
@group(0) @binding(5) var<storage, read_write> y: array<vec4<f32>>;      // (M, H)
#include "attention/load_kv.wgsl"
override CAUSAL: u32 = 1u;         // 1: query m sees positions up to call.start + m; 0: it sees all
const LOWEST = -3.4e38;            // stands for −∞, which fast-math drivers assume not to exist
