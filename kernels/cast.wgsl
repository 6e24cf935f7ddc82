// Rows of a stored tensor (f32, f16 or bf16, dense) to rows of weights (f32 or f16, padded to a multiple of 8 columns with zeros).
// In integers, so that the result is the same everywhere: round to nearest even, subnormals kept, ±inf beyond ±65504, as torch's half().
// A thread makes two neighbouring columns. Grid: (⌈rows · PITCH / 2 / 64⌉ over two dimensions).
struct Params {
  rows: u32,
  first: u32, // row of y that row 0 of the source becomes
  width: u32, // workgroups in a row of the grid
}
@group(0) @binding(0) var<uniform>             params: Params;
@group(0) @binding(1) var<storage, read>       source: array<u32>;     // (rows, K)
@group(0) @binding(2) var<storage, read_write> y: array<u32>;          // (N, PITCH)
override K: u32;
override PITCH: u32;
override SOURCE: u32;         // 0: f32, 1: f16, 2: bf16
override WEIGHTS_F32: u32 = 0u;

fn half_to_float(h: u32) -> u32 {
  let sign = (h & 0x8000u) << 16u;
  let exponent = (h >> 10u) & 31u;
  let mantissa = h & 0x3ffu;
  if (exponent == 31u) { return sign | 0x7f800000u | (mantissa << 13u); }
  if (exponent != 0u) { return sign | ((exponent + 112u) << 23u) | (mantissa << 13u); }
  if (mantissa == 0u) { return sign; }
  let shift = countLeadingZeros(mantissa) - 21u; // a subnormal: bring its top bit to the implicit place
  return sign | ((113u - shift) << 23u) | (((mantissa << shift) & 0x3ffu) << 13u);
}

fn float_to_half(bits: u32) -> u32 {
  let sign = (bits >> 16u) & 0x8000u;
  let a = bits & 0x7fffffffu;
  if (a > 0x7f800000u) { return sign | 0x7e00u; }                       // NaN
  if (a >= 0x477ff000u) { return sign | 0x7c00u; }                      // 65520 and more round to infinity
  if (a >= 0x38800000u) { return sign | ((a - 0x38000000u + 0xfffu + ((a >> 13u) & 1u)) >> 13u); }
  let shift = 126u - (a >> 23u);                                        // below 2^-14: a subnormal half
  if (shift > 24u) { return sign; }
  let mantissa = (a & 0x7fffffu) | 0x800000u;
  let h = mantissa >> shift;
  let rest = mantissa & ((1u << shift) - 1u);
  let tie = 1u << (shift - 1u);
  return sign | (h + select(0u, 1u, rest > tie || (rest == tie && (h & 1u) == 1u)));
}

/// A column of the source as the bits of an f32; zero in the padding.
fn load(row: u32, k: u32) -> u32 {
  if (k >= K) { return 0u; }
  let i = row * K + k;
  if (SOURCE == 0u) { return source[i]; }
  let h = (source[i >> 1u] >> (16u * (i & 1u))) & 0xffffu;
  if (SOURCE == 2u) { return h << 16u; }
  return half_to_float(h);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let pair = (wg.y * params.width + wg.x) * 64u + thread;
  let row = 2u * pair / PITCH;
  let k = 2u * pair % PITCH;
  if (row >= params.rows) { return; }
  let at = (params.first + row) * PITCH + k;
  let even = load(row, k);
  let odd = load(row, k + 1u);
  if (WEIGHTS_F32 == 1u) {
    y[at] = even;
    y[at + 1u] = odd;
  } else {
    y[at / 2u] = float_to_half(even) | (float_to_half(odd) << 16u);
  }
}
