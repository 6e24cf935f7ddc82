// The exact GELU, 0.5 · x · (1 + erf(x / √2)), as torch nn.GELU() computes it.
// WGSL has no erf, so this uses Abramowitz & Stegun 7.1.26, whose error is at most 1.5e-7.

/// GELU of each component.
fn gelu(v: vec4<f32>) -> vec4<f32> {
  let z = abs(v) * 0.7071067811865476;
  let t = 1.0 / (1.0 + 0.3275911 * z);
  let p = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
  let erf = sign(v) * (1.0 - p * exp(-z * z));
  return 0.5 * v * (1.0 + erf);
}
