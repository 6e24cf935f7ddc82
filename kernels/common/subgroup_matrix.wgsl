// What the subgroup_matrix variants share: the types of one matrix, and how they are read from
// workgroup memory. These kernels multiply (M, K) · (K, N) matrices with the subgroup's matrix unit
// (tensor cores), f16 in and f32 sums.
//
// Chosen on adapters with Dawn's experimental subgroup matrices, f16 and subgroups whose size a
// shader can choose (kernels/common/subgroup_matrix.ts, subgroupMatrixUnit).
//
// The sizes of WGSL's matrix types must be constants, so the four below are replaced in the text by
// those of the adapter (kernels/common/subgroup_matrix.ts, subgroupMatrixShader). The values that
// stand here are for the check at build time.
//
// The file that includes this
// - says `enable f16; enable subgroups; enable subgroup_size_control; enable
//   chromium_experimental_subgroup_matrix;`
// - marks its entry point @workgroup_size(SUBGROUP * subgroups) @subgroup_size(SUBGROUP)
// - declares var<workgroup> staged: array<vec4<u32>, …>: operands with eight halves in a vec4, sums
//   with four f32 in one. Offsets and strides below count vec4s.
// - calls all of these functions in workgroup-uniform control flow.
const MATRIX_M = 16u;
const MATRIX_N = 16u;
const MATRIX_K = 16u;
const SUBGROUP = 32u; // lanes of a subgroup

alias Left = subgroup_matrix_left<f16, MATRIX_K, MATRIX_M>; // WGSL gives the columns first
alias Right = subgroup_matrix_right<f16, MATRIX_N, MATRIX_K>;
alias Sum = subgroup_matrix_result<f32, MATRIX_N, MATRIX_M>;

const MATRIX_HALF_MAX = 65504.0; // the largest f16

/// Eight values as f16. Values beyond the range of f16 become ±65504, because WGSL leaves the
/// conversion of larger numbers undefined.
fn halves(lo: vec4<f32>, hi: vec4<f32>) -> vec4<u32> {
  let most = vec4<f32>(MATRIX_HALF_MAX);
  return vec4<u32>(
    bitcast<vec2<u32>>(vec4<f16>(clamp(lo, -most, most))),
    bitcast<vec2<u32>>(vec4<f16>(clamp(hi, -most, most))));
}

/// A left operand (M, K) whose rows are contiguous, as rows of activations are.
fn left(at: u32, stride: u32) -> Left { return subgroupMatrixLoad<Left, row_major>(&staged, at, stride); }

/// A right operand (K, N) whose columns are contiguous, as rows of weights (N, K) and of keys are.
fn right(at: u32, stride: u32) -> Right { return subgroupMatrixLoad<Right, col_major>(&staged, at, stride); }

/// A right operand (K, N) whose rows are contiguous, as rows of values are.
fn right_rows(at: u32, stride: u32) -> Right { return subgroupMatrixLoad<Right, row_major>(&staged, at, stride); }

/// a · b + sum.
fn multiply(a: Left, b: Right, sum: Sum) -> Sum { return subgroupMatrixMultiplyAccumulate(a, b, sum); }

/// Stores a sum row by row in f32: a row is N / 4 vec4s, to be read with bitcast<vec4<f32>>.
fn put(at: u32, sum: Sum, stride: u32) { subgroupMatrixStore<row_major>(&staged, at, sum, stride); }
