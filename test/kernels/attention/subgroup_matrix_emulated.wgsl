// Stands in for kernels/common/matrix.wgsl under attention_matrix.wgsl (matrix_emulated.wgsl does
// under the products): the same names, in arithmetic. Here operands on the left outlive what they
// were read from, so that a lane holds a row of them, and of a matrix of sums a piece of that row.
const MATRIX_M = 16u;
const MATRIX_N = 16u;
const MATRIX_K = 16u;
const SUBGROUP = 32u;
const SHARERS = SUBGROUP / MATRIX_M; // lanes that share a row
const PIECE = MATRIX_N / SHARERS;

struct Left { row: array<f32, MATRIX_K> }
struct Right { at: u32, down: u32, stride: u32 } // down: rows lie in one piece, not columns
struct Sum { piece: array<f32, PIECE> }

var<private> own_lane: u32;

/// The bound of a loop that is to stay one; a software driver's compiler takes minutes to unroll
/// all of these.
fn stay(n: u32) -> u32 { return n + (call.count >> 31u); }

fn halves(lo: vec4<f32>, hi: vec4<f32>) -> vec4<u32> {
  return vec4<u32>(pack2x16float(lo.xy), pack2x16float(lo.zw), pack2x16float(hi.xy), pack2x16float(hi.zw));
}

/// The i-th of the halves from vec4 `at` on.
fn half(at: u32, i: u32) -> f32 { return unpack2x16float(staged[at + i / 8u][i % 8u / 2u])[i % 2u]; }

fn left(at: u32, stride: u32) -> Left {
  var a = Left();
  for (var k = 0u; k < stay(MATRIX_K); k++) { a.row[k] = half(at + own_lane / SHARERS * stride, k); }
  return a;
}
fn right(at: u32, stride: u32) -> Right { return Right(at, 0u, stride); }
fn right_rows(at: u32, stride: u32) -> Right { return Right(at, 1u, stride); }

fn multiply(a: Left, b: Right, sum: Sum) -> Sum {
  var s = sum;
  for (var j = 0u; j < stay(PIECE); j++) {
    let n = own_lane % SHARERS * PIECE + j;
    for (var k = 0u; k < stay(MATRIX_K); k++) { s.piece[j] += a.row[k] * half(b.at + select(n, k, b.down == 1u) * b.stride, select(k, n, b.down == 1u)); }
  }
  return s;
}

fn put(at: u32, sum: Sum, stride: u32) {
  for (var j = 0u; j < stay(PIECE); j++) {
    let n = own_lane % SHARERS * PIECE + j;
    staged[at + own_lane / SHARERS * stride + n / 4u][n % 4u] = bitcast<u32>(sum.piece[j]);
  }
}

fn sum_at(at: u32, stride: u32) -> Sum {
  var s = Sum();
  for (var j = 0u; j < stay(PIECE); j++) {
    let n = own_lane % SHARERS * PIECE + j;
    s.piece[j] = bitcast<f32>(staged[at + own_lane / SHARERS * stride + n / 4u][n % 4u]);
  }
  return s;
}
