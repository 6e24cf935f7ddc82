// What an adapter's f16 type makes of halves: their values as f32, their sums and their products.
// Grid: (⌈words / 64⌉); n words of two halves
enable f16;
@group(0) @binding(0) var<storage, read>       a: array<vec2<f16>>;             // (n)
@group(0) @binding(1) var<storage, read>       b: array<vec2<f16>>;             // (n)
@group(0) @binding(2) var<storage, read_write> floats: array<vec2<f32>>;   // (n) of a
@group(0) @binding(3) var<storage, read_write> sums: array<vec2<f16>>;     // (n) a + b
@group(0) @binding(4) var<storage, read_write> products: array<vec2<f16>>; // (n) a · b

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x >= arrayLength(&a)) { return; }
  floats[id.x] = vec2<f32>(a[id.x]);
  sums[id.x] = a[id.x] + b[id.x];
  products[id.x] = a[id.x] * b[id.x];
}
