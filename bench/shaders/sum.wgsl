// Sums a buffer, each thread its own part: measures the memory bandwidth of a kernel that only
// reads. In integers, so that the sum is exact.
// Grid: (GROUPS)
@group(0) @binding(0) var<storage, read>       x: array<vec4<u32>>; // (n), n a multiple of 4 · GROUPS · 256
@group(0) @binding(1) var<storage, read_write> sums: array<u32>;    // (GROUPS · 256)
override GROUPS: u32; // workgroups

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let n = arrayLength(&x);
  let step = GROUPS * 256u;
  var a = vec4<u32>();
  var b = vec4<u32>();
  var c = vec4<u32>();
  var d = vec4<u32>();
  for (var i = id.x; i < n; i += 4u * step) { // four loads are in flight at once
    a += x[i];
    b += x[i + step];
    c += x[i + 2u * step];
    d += x[i + 3u * step];
  }
  let s = (a + b) + (c + d);
  sums[id.x] = (s.x + s.y) + (s.z + s.w);
}
