// GEMV for a decode step: y[j, r] = Σ_k W[r, k] · x[j, k] for the 1 to 8 rows of x of a tile, in
// one pass over W. With NORM it multiplies LayerNorm(x[j]) instead. torch: nn.Linear, nn.LayerNorm.
//
// Inputs, which the file that includes this declares:
// - x      (B, K) f32           one row for each sentence
// - w      (N, K) f16 or f32    read through common/weights.wgsl
// - gain   (K) f32              the LayerNorm weight g; unread without NORM
// - terms  (2, N) f32           [s | b] below, made at load time (linear/linear_terms.ts)
// - sizes                       struct Sizes below
// It also includes common/gemv_portable.wgsl or common/gemv_subgroup.wgsl.
//
// Layout:
// - An "eight" is eight consecutive columns, which is a 16-byte load of f16 weights.
// - A "four" is up to four rows of x (SHARE of them, where the tile has fewer); their sums are the
//   components of one vec4. A tile has FOURS fours, 1 or 2.
//
// LayerNorm identity: x is not normalised. Σ W·g·x, Σ x and Σ x² are summed in the same pass, then
//   y_r = rstd · (Σ_k W[r,k] g[k] x[k] − mean · s_r) + b_r
//   s_r = Σ_k W[r,k] g[k],   b_r = bias_r + Σ_k W[r,k] β[k]
// LayerNorm does not change when a constant is subtracted from all of x, so x is taken less a
// pivot, the mean of its first eight channels. Without it, an offset that all channels share would
// cost the digits that Σ x² − (Σ x)² and y_r need. An outlier among the eight moves the pivot by at
// most √K / 8 standard deviations. Accumulation is f32.
//
// Parallelisation:
// - A group of LANES threads computes R rows of W; a thread loads one eight of each row per step.
//   `group_sum` adds the lanes.
// - SPLIT groups share the same R rows, each with a part of the columns. Where W has few rows, this
//   keeps enough loads in flight.
// - A workgroup computes ROWS = R · GROUPS / SPLIT rows of W for BATCH rows of x.
//
// Determinism: a sentence gets the same bits alone and in a batch. R and BATCH do not change the
// order in which a sum is made, and SPLIT depends on W only.
//
// Sizes and epilogue are params, so that one pipeline serves every shape of every model: overrides
// would only multiply the pipelines, and a software adapter takes a second to compile each of them.
// A GPU's driver compiles in milliseconds; there K is an override as well, and with the number of
// steps known it unrolls the loop and starts the loads earlier (2 % of a decode step on an H200).
struct Sizes {
  k: u32,        // K: columns of W, a multiple of 8
  n: u32,        // N: rows of W
  count: u32,    // rows of W that one step computes,
  even: u32,     //   from this row on in even steps,
  odd: u32,      //   from this one in odd steps: Bark's coarse model draws from two codebooks in turn
  terms: u32,    // 1: add terms[n + r], the bias
  gelu: u32,     // 1: y = gelu(…)
  residual: u32, // 1: add to what y holds
  batch: u32,    // B: rows of x; the last tile may have fewer than BATCH
}
override BATCH: u32 = 1u;   // rows of x of one workgroup, 1 … 8
override FOURS: u32 = 1u;   // ⌈BATCH / 4⌉
override SHARE: u32 = (BATCH + FOURS - 1u) / FOURS; // rows of x in a four
override WG: u32 = 64u;
override LANES: u32 = 8u;   // threads that share a row of W; divides WG
override R: u32 = 4u;       // rows of W of a group: 1, 2 or 4
override SPLIT: u32 = 1u;   // groups that share the same rows of W; divides WG / LANES
override COMPACT: u32 = 0u; // 1: less code, for drivers that compute on the CPU and take seconds to compile
override NORM: u32 = 0u;    // 1: multiply LayerNorm(x) instead of x
override EPS: f32 = 1e-5;   // of the LayerNorm
override K: u32 = 0u;       // columns of W, for drivers that gain when they know it; 0: sizes.k
override GROUPS: u32 = WG / LANES;
override ROWS: u32 = R * GROUPS / SPLIT; // rows of W of a workgroup, an even number

// These sizes have names because naga 29 (Deno) panics on override expressions within array<>.
override RESULTS: u32 = FOURS * R * GROUPS;
override MOMENTS: u32 = 2u * FOURS * SPLIT;

var<workgroup> results: array<vec4<f32>, RESULTS>; // [part][four][row of the workgroup]
var<workgroup> moments: array<vec4<f32>, MOMENTS>; // [part][four] Σ x, then Σ x², of each row of x less its pivot

/// The sums of one thread for a four and the R rows of W of its group. They are members and not an
/// array, because an index that the compiler does not unroll would move the sums out of registers.
/// Members that R and BATCH do not need are never used and take no register.
struct Sums {
  a0: vec4<f32>,      // Σ W · x of the first row of W; a component is a row of x
  a1: vec4<f32>,
  a2: vec4<f32>,
  a3: vec4<f32>,
  sum: vec4<f32>,     // Σ x, of x less its pivot
  squares: vec4<f32>, // Σ x²
  pivot: vec4<f32>,
}

/// One eight of each of the R rows of W of a group.
struct Column { w0: Stored, w1: Stored, w2: Stored, w3: Stored }

/// Loads eight `c` of the rows of W that start at the eights `rows`.
fn column(rows: vec4<u32>, c: u32) -> Column {
  var all = Column();
  all.w0 = stored8(rows.x + c);
  if (R > 1u) { all.w1 = stored8(rows.y + c); }
  if (R > 2u) {
    all.w2 = stored8(rows.z + c);
    all.w3 = stored8(rows.w + c);
  }
  return all;
}

/// Columns of W.
fn columns_of_w() -> u32 {
  if (K > 0u) { return K; }
  return sizes.k;
}

/// Index of the first vec4 of row `first + j` of x; rows past the end read the last one again.
fn row_of_x(first: u32, j: u32) -> u32 {
  return min(first + j, sizes.batch - 1u) * (columns_of_w() / 4u);
}

/// The mean of the first eight channels of row `first + j` of x.
fn pivot(first: u32, j: u32) -> f32 {
  return dot(x[row_of_x(first, j)] + x[row_of_x(first, j) + 1u], vec4<f32>(0.125));
}

/// Sets the pivots of the four that starts at row `first` of x.
fn pivots(s: ptr<function, Sums>, first: u32) {
  if (NORM == 0u) { return; }
  if (COMPACT == 1u) {
    // SHARE rounds, through a runtime value as in fours().
    for (var j = 0u; j < select(1u, SHARE, sizes.batch >= SHARE); j++) { (*s).pivot[j] = pivot(first, j); }
    return;
  }
  (*s).pivot.x = pivot(first, 0u);
  if (SHARE > 1u) { (*s).pivot.y = pivot(first, 1u); }
  if (SHARE > 2u) { (*s).pivot.z = pivot(first, 2u); }
  if (SHARE > 3u) { (*s).pivot.w = pivot(first, 3u); }
}

/// Eight `c` of row `first + j` of x, ready to be multiplied: less its pivot and times the gain `g`
/// with NORM. `with_moments`: also adds it to Σ x and Σ x².
fn channels(s: ptr<function, Sums>, first: u32, j: u32, c: u32, g: Eight, with_moments: bool) -> Eight {
  var v = Eight(x[row_of_x(first, j) + 2u * c], x[row_of_x(first, j) + 2u * c + 1u]);
  if (NORM == 1u) {
    v.lo -= (*s).pivot[j];
    v.hi -= (*s).pivot[j];
    if (with_moments) {
      (*s).sum[j] += dot(v.lo, vec4<f32>(1.0)) + dot(v.hi, vec4<f32>(1.0));
      (*s).squares[j] += dot(v.lo, v.lo) + dot(v.hi, v.hi);
    }
    v.lo *= g.lo;
    v.hi *= g.hi;
  }
  return v;
}

/// The dot product of eight weights and eight channels.
fn product(w: Eight, v: Eight) -> f32 {
  return dot(w.lo, v.lo) + dot(w.hi, v.hi);
}

/// The dot products of eight weights with the rows of x of a four.
fn products(stored: Stored, v0: Eight, v1: Eight, v2: Eight, v3: Eight) -> vec4<f32> {
  let w = eight(stored);
  var p = vec4<f32>(product(w, v0), 0.0, 0.0, 0.0);
  if (SHARE > 1u) { p.y = product(w, v1); }
  if (SHARE > 2u) { p.z = product(w, v2); }
  if (SHARE > 3u) { p.w = product(w, v3); }
  return p;
}

/// Adds the products of eight `c` of R rows of W with the four that starts at row `first` of x.
fn add(s: ptr<function, Sums>, first: u32, c: u32, w: Column, g: Eight, with_moments: bool) {
  let v0 = channels(s, first, 0u, c, g, with_moments);
  var v1 = Eight();
  var v2 = Eight();
  var v3 = Eight();
  if (SHARE > 1u) { v1 = channels(s, first, 1u, c, g, with_moments); }
  if (SHARE > 2u) { v2 = channels(s, first, 2u, c, g, with_moments); }
  if (SHARE > 3u) { v3 = channels(s, first, 3u, c, g, with_moments); }
  (*s).a0 += products(w.w0, v0, v1, v2, v3);
  if (R > 1u) { (*s).a1 += products(w.w1, v0, v1, v2, v3); }
  if (R > 2u) {
    (*s).a2 += products(w.w2, v0, v1, v2, v3);
    (*s).a3 += products(w.w3, v0, v1, v2, v3);
  }
}

/// Returns FOURS. In COMPACT code it goes through a runtime value so that the driver cannot unroll
/// loops over the fours. Such a loop calls `swap` after each round, so that the same code serves
/// both fours; after two rounds s and t are where they were.
fn fours() -> u32 {
  if (COMPACT == 1u && FOURS == 2u) { return select(1u, 2u, sizes.batch > SHARE); }
  return FOURS;
}

/// Exchanges s and t, when there are two fours.
fn swap(s: ptr<function, Sums>, t: ptr<function, Sums>) {
  if (FOURS == 1u) { return; }
  let u = *s;
  *s = *t;
  *t = u;
}

/// Computes this thread's sums for the group's R rows of W, from row `first` of W and row `batch`
/// of x on, and has `group_sum` add them over the group's lanes.
fn gemv(first: u32, batch: u32, group: u32, lane: u32, lanes: u32) {
  let k8 = columns_of_w() / 8u;
  // Rows past the end read the last one again, which is cheaper than a branch; they are not stored.
  let rows = min(vec4<u32>(first + group / SPLIT * R) + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(sizes.n - 1u)) * k8;
  let with_moments = group / SPLIT == 0u; // all groups read the same x: one set of SPLIT groups sums it
  let step = SPLIT * lanes;
  var c = group % SPLIT * lanes + lane;
  var s = Sums(); // of the first four
  var t = Sums(); // of the second four, if there is one
  // Weights are loaded one step ahead: the first before x is read, and the next ones before these
  // are multiplied. COMPACT code loads them when they are needed.
  var next = column(rows, min(c, k8 - 1u));
  if (COMPACT == 1u) {
    for (var four = 0u; four < fours(); four++) {
      pivots(&s, batch + four * SHARE);
      swap(&s, &t);
    }
  } else {
    pivots(&s, batch);
    if (FOURS == 2u) { pivots(&t, batch + SHARE); }
  }
  while (c < k8) {
    if (COMPACT == 1u) { next = column(rows, c); }
    let w = next;
    let at = c;
    c += step;
    if (COMPACT == 0u && c < k8) { next = column(rows, c); }
    var g = Eight();
    if (NORM == 1u) { g = Eight(gain[2u * at], gain[2u * at + 1u]); }
    if (COMPACT == 1u) {
      for (var four = 0u; four < fours(); four++) {
        add(&s, batch + four * SHARE, at, w, g, with_moments);
        swap(&s, &t);
      }
    } else {
      add(&s, batch, at, w, g, with_moments);
      if (FOURS == 2u) { add(&t, batch + SHARE, at, w, g, with_moments); }
    }
  }
  // Add the lanes.
  group_sum(group, lane, &s, &t);
}

/// (s, b) of a row of W. Callers load them before `gemv`, so that they have arrived when it ends.
fn terms_of(row: u32) -> vec2<f32> {
  var row_terms = vec2<f32>();
  let at = min(row, sizes.n - 1u);
  if (NORM == 1u) { row_terms.x = terms[at]; }
  if (sizes.terms == 1u) { row_terms.y = terms[sizes.n + at]; }
  return row_terms;
}

/// y of row `r` of the workgroup for each row of x of a four, with LayerNorm and bias applied.
/// Called after `gemv` and a barrier; `row_terms` are the row's (s, b).
fn row_result(r: u32, four: u32, row_terms: vec2<f32>) -> vec4<f32> {
  // Add the parts of the SPLIT groups.
  var y = results[four * ROWS + r];
  for (var part = 1u; part < SPLIT; part++) { y += results[(part * FOURS + four) * ROWS + r]; }
  if (NORM == 1u) {
    var sum = moments[2u * four];
    var squares = moments[2u * four + 1u];
    for (var part = 1u; part < SPLIT; part++) {
      sum += moments[2u * (part * FOURS + four)];
      squares += moments[2u * (part * FOURS + four) + 1u];
    }
    let mean = sum / f32(columns_of_w());
    let variance = max(squares / f32(columns_of_w()) - mean * mean, vec4<f32>(0.0));
    y = (y - mean * row_terms.x) * inverseSqrt(variance + EPS);
  }
  return y + row_terms.y;
}

/// Number of rows of x in the tile that starts at row `batch`.
fn tile_rows(batch: u32) -> u32 {
  return min(BATCH, sizes.batch - batch);
}
