// Stands in for kernels/common/matrix.wgsl where there is no matrix unit, or none of the size that
// is to be tried: the same names, in arithmetic. Operands are read when they are multiplied, so
// nothing may be written in between; of a matrix of sums a lane holds every SUBGROUP-th element.
const MATRIX_M = 16u;
const MATRIX_N = 16u;
const MATRIX_K = 16u;
const SUBGROUP = 32u;

struct Left { at: u32, stride: u32 }
struct Right { at: u32, stride: u32 }
struct Sum { mine: array<f32, MATRIX_M * MATRIX_N / SUBGROUP> }

var<private> lane: u32;

/// The bound of a loop that is to stay one; a software driver's compiler takes minutes to unroll
/// all of these.
fn stay(n: u32) -> u32 { return min(n, sizes.n * 4096u); }

fn halves(lo: vec4<f32>, hi: vec4<f32>) -> vec4<u32> {
  return vec4<u32>(pack2x16float(lo.xy), pack2x16float(lo.zw), pack2x16float(hi.xy), pack2x16float(hi.zw));
}

fn left(at: u32, stride: u32) -> Left { return Left(at, stride); }
fn right(at: u32, stride: u32) -> Right { return Right(at, stride); }

fn pair(at: u32, k: u32) -> vec2<f32> { return unpack2x16float(staged[at + k / 4u][k % 4u]); }

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

fn put(at: u32, sum: Sum, stride: u32) {
  for (var i = 0u; i < stay(MATRIX_M * MATRIX_N / SUBGROUP); i++) {
    let element = lane + i * SUBGROUP;
    let column = element % MATRIX_N;
    staged[at + element / MATRIX_N * stride + column / 4u][column % 4u] = bitcast<u32>(sum.mine[i]);
  }
}
