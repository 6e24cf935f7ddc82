// What kernels share that hand rows from lane to lane.

/// c + Σ over four k of a[row, k] · b[k], where the row's four are in lane `source`.
fn quad(c: vec4<f32>, a: vec4<f32>, source: u32, b: mat4x4<f32>) -> vec4<f32> {
  return c + subgroupShuffle(a.x, source) * b[0] + subgroupShuffle(a.y, source) * b[1] + subgroupShuffle(a.z, source) * b[2] + subgroupShuffle(a.w, source) * b[3];
}
