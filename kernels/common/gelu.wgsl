// The exact GELU, 0.5 · x · (1 + erf(x / √2)), as torch nn.GELU() computes it.
// WGSL has no erf, so this takes the form of Abramowitz & Stegun 7.1.26, erfc(z) = P(t) · exp(−z²)
// with t = 1 / (1 + p · z), with a term more and coefficients of its own: for each p a minimax fit
// of P to erfc over z from 0 to 5.6 (a linear program), the best p, and of the roundings of its
// coefficients to f32 the best. As they stand here the error of erf is at most 1.9e-8 before any
// rounding (theirs: 1.5e-7), so that what a GPU's exp and division round decides.

/// GELU of each component: max(x, 0) − 0.5 · |x| · erfc(|x| / √2), which cancels nothing.
fn gelu(v: vec4<f32>) -> vec4<f32> {
  let z = abs(v) * 0.7071067811865476;
  let t = 1.0 / (1.0 + 0.5487 * z);
  let q = 0.766070664 + t * (-0.518319905 + t * 0.106752887);
  let p = t * (0.300576478 + t * (0.392074645 + t * (-0.0471547693 + t * q)));
  return max(v, vec4<f32>()) - 0.5 * abs(v) * (p * exp(-z * z));
}
