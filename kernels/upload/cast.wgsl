// Casts rows of a stored tensor (f32, f16 or bf16, dense) to rows of weights (f32 or f16, padded
// with zeros to a multiple of 8 columns).
// torch: half(), float().
// Shapes: source (rows, K), y (N, PITCH), of which `rows` rows from `first` on are written.
// Grid: (params.width, ⌈groups / params.width⌉), groups = ⌈rows · PITCH / (8 · 64 · TURNS)⌉.
//
// - It computes in integers, so that the result is the same on every adapter: round to nearest
//   even, subnormals kept, ±∞ beyond ±65504, as torch's half().
// - It has no branches there, because a software adapter runs both sides of every branch.
// - A thread converts eight neighbouring columns, TURNS times, because a software adapter takes
//   longer to start a workgroup than to cast 512 numbers.
struct Params {
  rows: u32,  // rows of the source
  first: u32, // row of y that row 0 of the source becomes
  width: u32, // x size of the grid, in workgroups
}
@group(0) @binding(0) var<uniform>             params: Params;
@group(0) @binding(1) var<storage, read>       source: array<vec4<u32>>; // (rows, K), f32, f16 or bf16
@group(0) @binding(2) var<storage, read_write> y: array<vec4<u32>>;      // (N, PITCH), f32 or f16
override K: u32;                // columns of the source
override PITCH: u32;            // columns of y: K rounded up to a multiple of 8
override SOURCE: u32;           // 0: f32, 1: f16, 2: bf16
override WEIGHTS_F32: u32 = 0u; // 1: y is f32, 0: f16
const TURNS = 8u;               // eights of columns of a thread

/// The f32 bits of four f16, given as their bits.
fn half_to_float(h: vec4<u32>) -> vec4<u32> {
  let sign = (h & vec4<u32>(0x8000u)) << vec4<u32>(16u);
  let a = h & vec4<u32>(0x7fffu);
  let mantissa = a & vec4<u32>(0x3ffu);
  let normal = (a << vec4<u32>(13u)) + vec4<u32>(112u << 23u);
  // Of a subnormal: the shift that brings its top bit to the place of the implicit one.
  let shift = countLeadingZeros(mantissa | vec4<u32>(1u)) - vec4<u32>(21u);
  let subnormal = ((vec4<u32>(113u) - shift) << vec4<u32>(23u))
    | (((mantissa << shift) & vec4<u32>(0x3ffu)) << vec4<u32>(13u));
  var f = select(normal, subnormal, a < vec4<u32>(0x400u));
  f = select(f, vec4<u32>(0u), a == vec4<u32>(0u));
  f = select(f, normal + vec4<u32>(112u << 23u), a >= vec4<u32>(0x7c00u)); // infinity and NaN
  return sign | f;
}

/// The f16 bits of four f32, given as their bits.
fn float_to_half(bits: vec4<u32>) -> vec4<u32> {
  let sign = (bits >> vec4<u32>(16u)) & vec4<u32>(0x8000u);
  let a = bits & vec4<u32>(0x7fffffffu);
  let normal = (a - vec4<u32>(0x38000000u) + vec4<u32>(0xfffu)
    + ((a >> vec4<u32>(13u)) & vec4<u32>(1u))) >> vec4<u32>(13u);
  // Below 2^-14 the result is a subnormal half: the mantissa shifted to units of 2^-24, rounded by
  // the bits that are shifted out. With a shift of 25 no bit is left.
  let shift = min(vec4<u32>(126u) - min(a >> vec4<u32>(23u), vec4<u32>(112u)), vec4<u32>(25u));
  let mantissa = (a & vec4<u32>(0x7fffffu)) | vec4<u32>(0x800000u);
  let subnormal = (mantissa + (vec4<u32>(1u) << (shift - vec4<u32>(1u))) - vec4<u32>(1u)
    + ((mantissa >> shift) & vec4<u32>(1u))) >> shift;
  var h = select(normal, subnormal, a < vec4<u32>(0x38800000u));
  h = select(h, vec4<u32>(0x7c00u), a >= vec4<u32>(0x477ff000u)); // 65520 and more round to infinity
  h = select(h, vec4<u32>(0x7e00u), a > vec4<u32>(0x7f800000u));  // NaN
  return sign | h;
}

/// Word i of the source.
fn word(i: u32) -> u32 { return source[i >> 2u][i & 3u]; }

/// The bits of one element of the source; zero in the padding.
fn load(row: u32, k: u32) -> u32 {
  if (k >= K) { return 0u; }
  let i = row * K + k;
  if (SOURCE == 0u) { return word(i); }
  return (word(i >> 1u) >> (16u * (i & 1u))) & 0xffffu;
}

/// The f32 bits of columns k … k + 3 of a row; k is a multiple of 4.
fn load4(row: u32, k: u32) -> vec4<u32> {
  var v: vec4<u32>;
  if (K % 8u != 0u) {
    v = vec4<u32>(load(row, k), load(row, k + 1u), load(row, k + 2u), load(row, k + 3u));
  } else if (SOURCE == 0u) {
    v = source[(row * K + k) >> 2u];
  } else {
    let eight = source[(row * K + k) >> 3u];
    let four = select(eight.xy, eight.zw, (k & 4u) != 0u);
    v = vec4<u32>(four.x & 0xffffu, four.x >> 16u, four.y & 0xffffu, four.y >> 16u);
  }
  if (SOURCE == 1u) { return half_to_float(v); }
  if (SOURCE == 2u) { return v << vec4<u32>(16u); }
  return v;
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let first = (wg.y * params.width + wg.x) * 64u * TURNS + thread;
  for (var turn = 0u; turn < TURNS; turn++) {
    let eight = first + 64u * turn;
    let row = eight / (PITCH / 8u);
    if (row >= params.rows) { return; }
    let k = 8u * (eight % (PITCH / 8u));
    let at = ((params.first + row) * PITCH + k) / 8u;
    let lo = load4(row, k);
    let hi = load4(row, k + 4u);
    if (WEIGHTS_F32 == 1u) {
      y[2u * at] = lo;
      y[2u * at + 1u] = hi;
    } else {
      let l = float_to_half(lo);
      let h = float_to_half(hi);
      y[at] = vec4<u32>(l.xz, h.xz) | (vec4<u32>(l.yw, h.yw) << vec4<u32>(16u));
    }
  }
}
