// Bindings of attention_decode.wgsl and attention_decode_subgroup.wgsl. H = heads · D.
#include "common/state.wgsl"
#include "common/cache.wgsl"
@group(0) @binding(0) var<uniform>             cache: Cache;
@group(0) @binding(1) var<uniform>             state: array<Row, 16>;
@group(0) @binding(2) var<storage, read>       q: array<vec4<f32>>;      // (B, H)
@group(0) @binding(3) var<storage, read>       keys: array<vec4<u32>>;   // (B, heads, capacity, D)
@group(0) @binding(4) var<storage, read>       values: array<vec4<u32>>; // (B, heads, capacity, D)
@group(0) @binding(5) var<storage, read_write> y: array<f32>;            // (B, H)
#include "attention/load_kv.wgsl"
