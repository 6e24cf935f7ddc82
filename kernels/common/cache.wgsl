// The KV cache of one layer: two arrays, `keys` and `values`, each (B, heads, capacity, D). A
// channel is an f32 or an f16; two f16 share a word. D is a multiple of 8, so a position's channels
// are whole vec4s in both cases.
struct Cache {
  heads: u32,
  head_dim: u32, // D: a multiple of 8, at most 128
  capacity: u32, // positions that the cache has room for
}
