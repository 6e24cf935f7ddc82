// The KV cache of one layer: (B, heads, capacity, head_dim), f16 in pairs or f32; keys and values
// apart. Rows are whole vec4s either way.
struct Cache {
  heads: u32,
  head_dim: u32, // a multiple of 8, up to 128
  capacity: u32, // positions there is room for
}
