// Stands in for kernels/common/subgroup_matrix.wgsl under attention_subgroup_matrix.wgsl in tests:
// the same names, computed with ordinary arithmetic.
// (test/kernels/common/subgroup_matrix_emulated.wgsl stands in under the products.) In attention,
// left operands are used after `staged` has been overwritten, so a lane keeps a copy: one row of a
// left operand, and of a sum a piece of that row.
const MATRIX_M = 16u;
const MATRIX_N = 16u;
const MATRIX_K = 16u;
const SUBGROUP = 32u;
const SHARERS = SUBGROUP / MATRIX_M; // lanes that share a row
const PIECE = MATRIX_N / SHARERS;    // elements of a row of sums that a lane holds

struct Left { row: array<f32, MATRIX_K> }        // this lane's row
struct Right { at: u32, down: u32, stride: u32 } // down: 1 if rows are contiguous, 0 if columns are
struct Sum { piece: array<f32, PIECE> }          // this lane's piece of its row

var<private> own_lane: u32;

/// Returns n through a runtime value so that the driver cannot unroll a loop over it: the compiler
/// of a software driver takes minutes to unroll all of these.
fn stay(n: u32) -> u32 { return n + (call.count >> 31u); }

/// Eight values as f16.
fn halves(lo: vec4<f32>, hi: vec4<f32>) -> vec4<u32> {
  return vec4<u32>(pack2x16float(lo.xy), pack2x16float(lo.zw), pack2x16float(hi.xy), pack2x16float(hi.zw));
}

/// Half i, counted from vec4 `at` of `staged` on.
fn half(at: u32, i: u32) -> f32 { return unpack2x16float(staged[at + i / 8u][i % 8u / 2u])[i % 2u]; }

/// This lane's row of a left operand whose rows are contiguous.
fn left(at: u32, stride: u32) -> Left {
  var a = Left();
  for (var k = 0u; k < stay(MATRIX_K); k++) { a.row[k] = half(at + own_lane / SHARERS * stride, k); }
  return a;
}

/// A right operand whose columns are contiguous.
fn right(at: u32, stride: u32) -> Right { return Right(at, 0u, stride); }

/// A right operand whose rows are contiguous.
fn right_rows(at: u32, stride: u32) -> Right { return Right(at, 1u, stride); }

/// a · b + sum.
fn multiply(a: Left, b: Right, sum: Sum) -> Sum {
  var s = sum;
  for (var j = 0u; j < stay(PIECE); j++) {
    let n = own_lane % SHARERS * PIECE + j;
    for (var k = 0u; k < stay(MATRIX_K); k++) {
      s.piece[j] += a.row[k] * half(b.at + select(n, k, b.down == 1u) * b.stride, select(k, n, b.down == 1u));
    }
  }
  return s;
}

/// Stores a sum row by row in f32.
fn put(at: u32, sum: Sum, stride: u32) {
  for (var j = 0u; j < stay(PIECE); j++) {
    let n = own_lane % SHARERS * PIECE + j;
    staged[at + own_lane / SHARERS * stride + n / 4u][n % 4u] = bitcast<u32>(sum.piece[j]);
  }
}

/// A sum that `put` has stored.
fn sum_at(at: u32, stride: u32) -> Sum {
  var s = Sum();
  for (var j = 0u; j < stay(PIECE); j++) {
    let n = own_lane % SHARERS * PIECE + j;
    s.piece[j] = bitcast<f32>(staged[at + own_lane / SHARERS * stride + n / 4u][n % 4u]);
  }
  return s;
}
