// The KV cache of one layer: (B, heads, CAPACITY, HEAD_DIM), f16 in pairs or f32; keys and values apart. Rows are whole vec4s either way.
override HEADS: u32;
override HEAD_DIM: u32;       // a multiple of 8
override CAPACITY: u32;       // positions there is room for

/// Index of the first channel of a position, counted in channels.
fn cache_at(row: u32, head: u32, position: u32) -> u32 {
  return ((row * HEADS + head) * CAPACITY + position) * HEAD_DIM;
}
