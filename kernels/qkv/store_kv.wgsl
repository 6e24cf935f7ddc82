// What the variants of `qkv` share: where rows of the fused projection go. Rows 0 … H-1 are
// queries, the next H keys, the last H values.
override CACHE_F32: u32 = 0u;
const HALF_MAX = 65504.0;

/// Two neighbouring channels of keys or values (n is even and counts from the first key) at a
/// position.
fn store_kv(row: u32, position: u32, n: u32, pair: vec2<f32>) {
  let hidden = cache.heads * cache.head_dim;
  let c = n % hidden;
  let at = ((row * cache.heads + c / cache.head_dim) * cache.capacity + position) * cache.head_dim + c % cache.head_dim;
  var words = vec2<u32>(bitcast<u32>(pair.x), bitcast<u32>(pair.y));
  if (CACHE_F32 == 1u) {
    if (n < hidden) { keys[at] = words.x; keys[at + 1u] = words.y; } else { values[at] = words.x; values[at + 1u] = words.y; }
  } else {
    // WGSL leaves the halves of larger numbers undefined.
    let packed = pack2x16float(clamp(pair, vec2<f32>(-HALF_MAX), vec2<f32>(HALF_MAX)));
    if (n < hidden) { keys[at / 2u] = packed; } else { values[at / 2u] = packed; }
  }
}
