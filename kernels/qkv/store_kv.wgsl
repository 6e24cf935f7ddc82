// Where the outputs of the fused projection go, for all variants of `qkv`. Outputs 0 … H − 1 are
// queries, the next H keys, the last H values.
override CACHE_F32: u32 = 0u;
const HALF_MAX = 65504.0; // the largest f16

/// Writes two neighbouring channels of keys or values to the cache. `n` is even and counts outputs
/// from the first key; `slot` is the sentence's index in the batch.
fn store_kv(slot: u32, position: u32, n: u32, pair: vec2<f32>) {
  let hidden = cache.heads * cache.head_dim;
  let c = n % hidden;
  let at = ((slot * cache.heads + c / cache.head_dim) * cache.capacity + position) * cache.head_dim
    + c % cache.head_dim;
  var words = vec2<u32>(bitcast<u32>(pair.x), bitcast<u32>(pair.y));
  if (CACHE_F32 == 1u) {
    if (n < hidden) { keys[at] = words.x; keys[at + 1u] = words.y; }
    else { values[at] = words.x; values[at + 1u] = words.y; }
  } else {
    // Clamped, because WGSL leaves the conversion of larger numbers to f16 undefined.
    let packed = pack2x16float(clamp(pair, vec2<f32>(-HALF_MAX), vec2<f32>(HALF_MAX)));
    if (n < hidden) { keys[at / 2u] = packed; } else { values[at / 2u] = packed; }
  }
}
