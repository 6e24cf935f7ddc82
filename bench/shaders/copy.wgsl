// y = x: what memory can move when a kernel reads and writes it, beside copyBufferToBuffer.
// Grid: (⌈n / 256⌉, at most 65,535); each thread takes every (grid · 256)th.
@group(0) @binding(0) var<uniform>             sizes: vec4<u32>;   // n
@group(0) @binding(1) var<storage, read>       x: array<vec4<u32>>; // (n)
@group(0) @binding(2) var<storage, read_write> y: array<vec4<u32>>; // (n)

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  for (var i = id.x; i < sizes.x; i += groups.x * 256u) { y[i] = x[i]; }
}
