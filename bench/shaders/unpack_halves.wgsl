// y = the f32 bits of two f16, as weights and the KV cache are read.
// Grid: (⌈words / 64⌉)
@group(0) @binding(0) var<storage, read>       x: array<u32>;       // (n)
@group(0) @binding(1) var<storage, read_write> y: array<vec2<u32>>; // (n)

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x < arrayLength(&x)) { y[id.x] = bitcast<vec2<u32>>(unpack2x16float(x[id.x])); }
}
