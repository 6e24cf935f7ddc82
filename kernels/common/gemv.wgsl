// The product of a matrix with 1 to 8 rows of x, for decode: Σ_k W[first + r, k] · x[j, k], r < ROWS, j < BATCH, in one walk over the matrix. Rows
// of x go by fours, a vec4 of sums for each four.
// With NORM, of LayerNorm(x) instead, without normalising: Σ W·g·x, Σ x and Σ x² are summed in one walk, and
//   y_r = rstd · (Σ_k W[r,k] g[k] x[k] − mean · s_r) + b_r,   s_r = Σ_k W[r,k] g[k],   b_r = bias_r + Σ_k W[r,k] β[k]
// with `terms` = [s | b], made when the weights are loaded (architecture, "Fused"). Accumulation is f32. LayerNorm does not change when all of x
// is shifted, so x is taken less a pivot, the mean of its first eight channels: an offset that all channels share would cost the digits that
// Σ x² − (Σ x)² and y_r need, and an outlier among the eight cannot move the pivot by more than √K / 8 deviations.
// A group of LANES threads walks four matrix rows together, 16 bytes of f16 a thread and step; `group_sum` of the variant adds the lanes.
// The file that includes this declares sizes, x, w, gain, terms, and includes gemv_portable or gemv_subgroup.
// Sizes and what an epilogue does are params: a pipeline serves every shape of every model. Overrides would double nothing but the
// pipelines, and a software adapter compiles each of them for a second.
struct Sizes {
  k: u32,           // row length, a multiple of 8
  n: u32,           // rows of the matrix
  count: u32,       // rows of it that a step computes, from `even` on in even steps, from `odd` on in odd ones:
  even: u32,        // Bark's coarse model draws from two codebooks in turn
  odd: u32,
  terms: u32,       // 1: add terms[n + r], the bias
  gelu: u32,        // 1: y = gelu(…)
  residual: u32,    // 1: add to what y holds
  batch: u32,       // rows of x; the last tile may have fewer than BATCH
}
override BATCH: u32 = 1u;    // rows of x in one workgroup, 1 … 8
override FOURS: u32 = 1u;    // ⌈BATCH / 4⌉
override WG: u32 = 64u;
override LANES: u32 = 8u;    // threads that share a matrix row; divides WG
override NORM: u32 = 0u;
override EPS: f32 = 1e-5;
const R = 4u;                // matrix rows of a group
override ROWS: u32 = R * (WG / LANES);

// The size has a name because naga 29 (Deno) panics on override expressions within array<>.
override RESULTS: u32 = FOURS * ROWS;

var<workgroup> results: array<vec4<f32>, RESULTS>; // [four][row of the workgroup]
var<workgroup> moments: array<vec4<f32>, 4>; // [four] Σ x and Σ x² of each row of x, less its pivot

/// What a thread sums for four rows of x and the four matrix rows of its group.
struct Sums {
  a0: vec4<f32>,
  a1: vec4<f32>,
  a2: vec4<f32>,
  a3: vec4<f32>,
  sum: vec4<f32>,
  squares: vec4<f32>,
  pivot: vec4<f32>,
}

/// Row `first + j` of x; past the last one, that one again.
fn row_of_x(first: u32, j: u32) -> u32 {
  return min(first + j, sizes.batch - 1u) * (sizes.k / 4u);
}

fn begin(first: u32, count: u32) -> Sums {
  var s = Sums(vec4<f32>(0.0), vec4<f32>(0.0), vec4<f32>(0.0), vec4<f32>(0.0), vec4<f32>(0.0), vec4<f32>(0.0), vec4<f32>(0.0));
  if (NORM == 1u) {
    for (var j = 0u; j < count; j++) { s.pivot[j] = dot(x[row_of_x(first, j)] + x[row_of_x(first, j) + 1u], vec4<f32>(0.125)); }
  }
  return s;
}

/// Adds column eight `c` of `count` rows of x.
fn add(s: ptr<function, Sums>, first: u32, count: u32, c: u32, w0: Eight, w1: Eight, w2: Eight, w3: Eight) {
  for (var j = 0u; j < count; j++) {
    var lo = x[row_of_x(first, j) + 2u * c];
    var hi = x[row_of_x(first, j) + 2u * c + 1u];
    if (NORM == 1u) {
      lo -= (*s).pivot[j];
      hi -= (*s).pivot[j];
      (*s).sum[j] += dot(lo, vec4<f32>(1.0)) + dot(hi, vec4<f32>(1.0));
      (*s).squares[j] += dot(lo, lo) + dot(hi, hi);
      lo *= gain[2u * c];
      hi *= gain[2u * c + 1u];
    }
    (*s).a0[j] += dot(w0.lo, lo) + dot(w0.hi, hi);
    (*s).a1[j] += dot(w1.lo, lo) + dot(w1.hi, hi);
    (*s).a2[j] += dot(w2.lo, lo) + dot(w2.hi, hi);
    (*s).a3[j] += dot(w3.lo, lo) + dot(w3.hi, hi);
  }
}

fn walk(first: u32, batch: u32, group: u32, lane: u32, lanes: u32) {
  let k8 = sizes.k / 8u;
  let row = first + group * R;
  // Rows past the end read the last one again: cheaper than a branch, and never stored.
  let row0 = min(row, sizes.n - 1u) * k8;
  let row1 = min(row + 1u, sizes.n - 1u) * k8;
  let row2 = min(row + 2u, sizes.n - 1u) * k8;
  let row3 = min(row + 3u, sizes.n - 1u) * k8;
  // Two variables, not an array: an index that a compiler does not unroll would push the sums out of registers.
  var s = begin(batch, min(BATCH, 4u));
  var t = s;
  if (FOURS == 2u) { t = begin(batch + 4u, BATCH - 4u); }
  for (var c = lane; c < k8; c += lanes) {
    let w0 = weights8(row0 + c);
    let w1 = weights8(row1 + c);
    let w2 = weights8(row2 + c);
    let w3 = weights8(row3 + c);
    add(&s, batch, min(BATCH, 4u), c, w0, w1, w2, w3);
    if (FOURS == 2u) { add(&t, batch + 4u, BATCH - 4u, c, w0, w1, w2, w3); }
  }
  group_sum(group, lane, s, t);
}

/// One matrix row's result for a four of rows of x, after `walk` and a barrier.
fn finished(first: u32, r: u32, four: u32) -> vec4<f32> {
  var y = results[four * ROWS + r];
  let row = min(first + r, sizes.n - 1u);
  if (NORM == 1u) {
    let mean = moments[2u * four] / f32(sizes.k);
    let variance = max(moments[2u * four + 1u] / f32(sizes.k) - mean * mean, vec4<f32>(0.0));
    y = (y - mean * terms[row]) * inverseSqrt(variance + EPS);
  }
  if (sizes.terms == 1u) { y += terms[sizes.n + row]; }
  return y;
}

/// Rows of x that a tile from `batch` on has.
fn tile_rows(batch: u32) -> u32 {
  return min(BATCH, sizes.batch - batch);
}
