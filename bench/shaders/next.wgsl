// y = x + 1, each number read from another index. After a chain of n dispatches every number is n,
// but only if each dispatch has seen everything that the one before it wrote.
// Grid: (⌈numbers / 64⌉)
@group(0) @binding(0) var<storage, read>       x: array<u32>; // (n)
@group(0) @binding(1) var<storage, read_write> y: array<u32>; // (n)

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let n = arrayLength(&y);
  if (id.x < n) { y[id.x] = x[(id.x * 7u + 13u) % n] + 1u; }
}
