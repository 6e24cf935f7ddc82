// Stands in for kernels/common/subgroup_matrix.wgsl in tests, where there is no matrix unit, or
// none of the size under test: the same names, computed with ordinary arithmetic. Operands are read
// when they are multiplied, so `staged` must not be written between `left` or `right` and
// `multiply`. A lane holds every SUBGROUP-th element of a matrix of sums.
const MATRIX_M = 16u;
const MATRIX_N = 16u;
const MATRIX_K = 16u;
const SUBGROUP = 32u;

struct Left { at: u32, stride: u32 }  // where it is in `staged`
struct Right { at: u32, stride: u32 }

/// A matrix of sums: elements lane, lane + SUBGROUP, …
struct Sum { mine: array<f32, MATRIX_M * MATRIX_N / SUBGROUP> }

var<private> lane: u32;

/// Returns n through a runtime value so that the driver cannot unroll a loop over it: the compiler
/// of a software driver takes minutes to unroll all of these.
fn stay(n: u32) -> u32 { return min(n, sizes.n * 4096u); }

/// Eight values as f16.
fn halves(lo: vec4<f32>, hi: vec4<f32>) -> vec4<u32> {
  return vec4<u32>(pack2x16float(lo.xy), pack2x16float(lo.zw), pack2x16float(hi.xy), pack2x16float(hi.zw));
}

/// A left operand whose rows are contiguous.
fn left(at: u32, stride: u32) -> Left { return Left(at, stride); }

/// A right operand whose columns are contiguous.
fn right(at: u32, stride: u32) -> Right { return Right(at, stride); }

/// Halves 2k and 2k + 1, counted from vec4 `at` of `staged` on.
fn pair(at: u32, k: u32) -> vec2<f32> { return unpack2x16float(staged[at + k / 4u][k % 4u]); }

/// a · b + sum.
fn multiply(a: Left, b: Right, sum: Sum) -> Sum {
  var s = sum;
  for (var i = 0u; i < stay(MATRIX_M * MATRIX_N / SUBGROUP); i++) {
    let element = lane + i * SUBGROUP;
    for (var k = 0u; k < stay(MATRIX_K / 2u); k++) {
      s.mine[i] += dot(pair(a.at + element / MATRIX_N * a.stride, k), pair(b.at + element % MATRIX_N * b.stride, k));
    }
  }
  return s;
}

/// Stores a sum row by row in f32.
fn put(at: u32, sum: Sum, stride: u32) {
  for (var i = 0u; i < stay(MATRIX_M * MATRIX_N / SUBGROUP); i++) {
    let element = lane + i * SUBGROUP;
    let column = element % MATRIX_N;
    staged[at + element / MATRIX_N * stride + column / 4u][column % 4u] = bitcast<u32>(sum.mine[i]);
  }
}
