// Reads consecutive weights of the module-scope array `w`, which holds f16 (eight halves in a
// vec4<u32>) or f32 (four floats in one). This is the one place that knows the storage precision.
// `w` is not a parameter because naga refuses pointers to storage.
override WEIGHTS_F32: u32 = 0u; // 1: f32, 0: f16

/// Eight consecutive weights as f32.
struct Eight { lo: vec4<f32>, hi: vec4<f32> }

/// Eight consecutive weights as they are stored; for f16 only `lo` is used. It takes half the
/// registers of `Eight`, for weights that are loaded before they are needed.
struct Stored { lo: vec4<u32>, hi: vec4<u32> }

/// Weights 8i … 8i + 7 as they are stored.
fn stored8(i: u32) -> Stored {
  if (WEIGHTS_F32 == 1u) { return Stored(w[2u * i], w[2u * i + 1u]); }
  return Stored(w[i], vec4<u32>());
}

/// Stored weights as f32.
fn eight(s: Stored) -> Eight {
  if (WEIGHTS_F32 == 1u) { return Eight(bitcast<vec4<f32>>(s.lo), bitcast<vec4<f32>>(s.hi)); }
  return Eight(
    vec4<f32>(unpack2x16float(s.lo.x), unpack2x16float(s.lo.y)),
    vec4<f32>(unpack2x16float(s.lo.z), unpack2x16float(s.lo.w)));
}

/// Weights 8i … 8i + 7 as f32.
fn weights8(i: u32) -> Eight {
  return eight(stored8(i));
}

/// Weights 4i … 4i + 3 as f32.
fn weights4(i: u32) -> vec4<f32> {
  if (WEIGHTS_F32 == 1u) {
    return bitcast<vec4<f32>>(w[i]);
  }
  let h = w[i >> 1u];
  let pair = select(h.xy, h.zw, (i & 1u) == 1u);
  return vec4<f32>(unpack2x16float(pair.x), unpack2x16float(pair.y));
}
