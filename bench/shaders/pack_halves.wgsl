// y = two f32 rounded to f16, as the KV cache is written.
// Grid: (⌈words / 64⌉)
@group(0) @binding(0) var<storage, read>       x: array<vec2<f32>>; // (n)
@group(0) @binding(1) var<storage, read_write> y: array<u32>;       // (n)

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x < arrayLength(&y)) { y[id.x] = pack2x16float(x[id.x]); }
}
