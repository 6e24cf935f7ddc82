// ELU with alpha 1: x where x > 0, else exp(x) − 1. torch: nn.ELU.
// For small negative x, exp(x) − 1 is off by half an ulp of 1, far below what audio carries.

/// ELU of each component.
fn elu(x: vec4<f32>) -> vec4<f32> {
  return select(exp(min(x, vec4<f32>(0.0))) - 1.0, x, x > vec4<f32>(0.0));
}
