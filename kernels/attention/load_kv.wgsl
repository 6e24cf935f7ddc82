// Reads eight channels of the cached `keys` and `values`, which the file that includes this
// declares as array<vec4<u32>>. common/cache.wgsl describes the layout.
override CACHE_F32: u32 = 0u; // 1: the cache holds f32, 0: f16

/// Eight consecutive channels of one position, as f32.
struct Channels { lo: vec4<f32>, hi: vec4<f32> }

/// Eight f16 as f32.
fn halves(h: vec4<u32>) -> Channels {
  return Channels(
    vec4<f32>(unpack2x16float(h.x), unpack2x16float(h.y)),
    vec4<f32>(unpack2x16float(h.z), unpack2x16float(h.w)));
}

/// Channels 8i … 8i + 7 of `keys`, counted over the whole cache.
fn key8(i: u32) -> Channels {
  if (CACHE_F32 == 1u) { return Channels(bitcast<vec4<f32>>(keys[2u * i]), bitcast<vec4<f32>>(keys[2u * i + 1u])); }
  return halves(keys[i]);
}

/// Channels 8i … 8i + 7 of `values`, counted over the whole cache.
fn value8(i: u32) -> Channels {
  if (CACHE_F32 == 1u) { return Channels(bitcast<vec4<f32>>(values[2u * i]), bitcast<vec4<f32>>(values[2u * i + 1u])); }
  return halves(values[i]);
}
