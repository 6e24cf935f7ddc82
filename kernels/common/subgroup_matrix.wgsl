// What the kernels share that multiply with the subgroup's matrix unit (tensor cores): types of one
// matrix, and how they are read from workgroup memory. f16 in, f32 sums. Sizes of WGSL types must
// be constants, so the four below are replaced in the text by those of the adapter
// (kernels/matrix.ts, matrixShader); the values that stand here are for the check at build time.
// The file that includes this says `enable f16; enable subgroups; enable subgroup_size_control;
// enable chromium_experimental_subgroup_matrix;`, marks its entry point @workgroup_size(SUBGROUP *
// subgroups) @subgroup_size(SUBGROUP), and declares
//   var<workgroup> staged: array<vec4<u32>, …>    operands: eight halves in a vec4; sums: four f32 in one
// Offsets and strides count vec4s. All of these are called in workgroup-uniform control flow.
const MATRIX_M = 16u;
const MATRIX_N = 16u;
const MATRIX_K = 16u;
const SUBGROUP = 32u; // lanes

alias Left = subgroup_matrix_left<f16, MATRIX_K, MATRIX_M>; // columns first
alias Right = subgroup_matrix_right<f16, MATRIX_N, MATRIX_K>;
alias Sum = subgroup_matrix_result<f32, MATRIX_N, MATRIX_M>;

const MATRIX_HALF_MAX = 65504.0;

/// Eight values as halves. What f16 cannot hold becomes the largest that it can: WGSL leaves the
/// halves of larger numbers undefined.
fn halves(lo: vec4<f32>, hi: vec4<f32>) -> vec4<u32> {
  let most = vec4<f32>(MATRIX_HALF_MAX);
  return vec4<u32>(bitcast<vec2<u32>>(vec4<f16>(clamp(lo, -most, most))), bitcast<vec2<u32>>(vec4<f16>(clamp(hi, -most, most))));
}

/// (M, K) of which each row lies in one piece, as rows of activations do.
fn left(at: u32, stride: u32) -> Left { return subgroupMatrixLoad<Left, row_major>(&staged, at, stride); }

/// (K, N) of which each column lies in one piece, as rows of weights (N, K) do, and keys.
fn right(at: u32, stride: u32) -> Right { return subgroupMatrixLoad<Right, col_major>(&staged, at, stride); }

/// (K, N) of which each row lies in one piece, as values do.
fn right_rows(at: u32, stride: u32) -> Right { return subgroupMatrixLoad<Right, row_major>(&staged, at, stride); }

/// a · b + sum.
fn multiply(a: Left, b: Right, sum: Sum) -> Sum { return subgroupMatrixMultiplyAccumulate(a, b, sum); }

/// Row by row, in f32: a row is N / 4 vec4s, to be read with bitcast<vec4<f32>>.
fn put(at: u32, sum: Sum, stride: u32) { subgroupMatrixStore<row_major>(&staged, at, sum, stride); }
