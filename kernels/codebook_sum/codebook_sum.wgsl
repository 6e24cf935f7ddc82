// Decodes a residual vector quantiser: y[b, t] = Σ_q table[q, codes[b, q, t]].
// HF: EncodecResidualVectorQuantizer.decode.
// Shapes: Q codebooks, L frames, D channels, below. The caller checks that codes are below SIZE.
// Grid: (⌈L · D / 64⌉, 1, B)
struct Params {
  frames: u32,    // L
  codebooks: u32, // Q
}
@group(0) @binding(0) var<uniform>             p: Params;
@group(0) @binding(1) var<storage, read>       codes: array<u32>; // (B, Q, L)
@group(0) @binding(2) var<storage, read>       table: array<f32>; // (at least Q, SIZE, D)
@group(0) @binding(3) var<storage, read_write> y: array<f32>;     // (B, L, D)
override SIZE: u32; // entries of a codebook
override D: u32;    // channels of an entry

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let i = group.x * 64u + thread;
  let t = i / D; // the frame
  if (t >= p.frames) { return; }
  var sum = 0.0;
  for (var q = 0u; q < p.codebooks; q++) {
    let code = codes[(group.z * p.codebooks + q) * p.frames + t];
    sum += table[(q * SIZE + code) * D + i % D];
  }
  y[group.z * p.frames * D + i] = sum;
}
