// What the simd8 variants share: kernels for subgroups of exactly 8 lanes that share matrix rows by
// subgroupShuffle. common/gemm_simd8.wgsl says why.

/// c + Σ_k a[k] · b[k] for four k, where `a` is the vec4 that lane `source` holds.
fn quad(c: vec4<f32>, a: vec4<f32>, source: u32, b: mat4x4<f32>) -> vec4<f32> {
  return c + subgroupShuffle(a.x, source) * b[0] + subgroupShuffle(a.y, source) * b[1]
    + subgroupShuffle(a.z, source) * b[2] + subgroupShuffle(a.w, source) * b[3];
}
