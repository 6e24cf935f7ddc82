// Eight channels of cached `keys` and `values`; see common/cache.wgsl for the layout.
override CACHE_F32: u32 = 0u;

struct Channels { lo: vec4<f32>, hi: vec4<f32> }

fn halves(h: vec4<u32>) -> Channels {
  return Channels(vec4<f32>(unpack2x16float(h.x), unpack2x16float(h.y)), vec4<f32>(unpack2x16float(h.z), unpack2x16float(h.w)));
}

/// Key channels 8i … 8i + 7, i counted over the whole cache.
fn key8(i: u32) -> Channels {
  if (CACHE_F32 == 1u) { return Channels(bitcast<vec4<f32>>(keys[2u * i]), bitcast<vec4<f32>>(keys[2u * i + 1u])); }
  return halves(keys[i]);
}

fn value8(i: u32) -> Channels {
  if (CACHE_F32 == 1u) { return Channels(bitcast<vec4<f32>>(values[2u * i]), bitcast<vec4<f32>>(values[2u * i + 1u])); }
  return halves(values[i]);
}
