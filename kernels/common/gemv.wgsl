// The product of a matrix with 1 to 8 rows of x, for decode: Σ_k W[first + r, k] · x[j, k], r <
// ROWS, j < BATCH, in one walk over the matrix. Rows of x go by fours (SHARE of them, where the
// batch leaves fewer), a vec4 of sums for each four.
// With NORM, of LayerNorm(x) instead, without normalising: Σ W·g·x, Σ x and Σ x² are summed in one
// walk, and
//   y_r = rstd · (Σ_k W[r,k] g[k] x[k] − mean · s_r) + b_r,   s_r = Σ_k W[r,k] g[k],   b_r = bias_r + Σ_k W[r,k] β[k]
// with `terms` = [s | b], made when the weights are loaded (architecture, "Fused"). Accumulation is
// f32. LayerNorm does not change when all of x is shifted, so x is taken less a pivot, the mean of
// its first eight channels: an offset that all channels share would cost the digits that Σ x² − (Σ
// x)² and y_r need, and an outlier among the eight cannot move the pivot by more than √K / 8
// deviations.
// A group of LANES threads walks R matrix rows together, 16 bytes of f16 a thread, row and step;
// `group_sum` of the variant adds the lanes. SPLIT groups share these rows, each with its part of
// the columns: where rows are few, that is how enough of the matrix is asked for at the same time.
// A sentence says the same alone and in a batch: neither R nor BATCH touch the order in which a sum
// is made, and SPLIT follows the matrix only. The file that includes this declares sizes, x, w,
// gain, terms, and includes gemv_portable or gemv_subgroup.
// Sizes and what an epilogue does are params: a pipeline serves every shape of every model.
// Overrides would double nothing but the pipelines, and a software adapter compiles each of them
// for a second.
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
override SHARE: u32 = (BATCH + FOURS - 1u) / FOURS; // rows of x in a four
override WG: u32 = 64u;
override LANES: u32 = 8u;    // threads that share a matrix row; divides WG
override R: u32 = 4u;        // matrix rows of a group: 1, 2 or 4
override SPLIT: u32 = 1u;    // groups that share the same rows; divides WG / LANES
override COMPACT: u32 = 0u;  // 1: as little code as can be, for drivers that compute on the CPU and compile for seconds
override NORM: u32 = 0u;
override EPS: f32 = 1e-5;
override GROUPS: u32 = WG / LANES;
override ROWS: u32 = R * GROUPS / SPLIT; // of a workgroup, an even number

// The sizes have names because naga 29 (Deno) panics on override expressions within array<>.
override RESULTS: u32 = FOURS * R * GROUPS;
override MOMENTS: u32 = 2u * FOURS * SPLIT;

var<workgroup> results: array<vec4<f32>, RESULTS>; // [part][four][row of the workgroup]
var<workgroup> moments: array<vec4<f32>, MOMENTS>; // [part][four] Σ x and Σ x² of each row of x, less its pivot

/// What a thread sums for four rows of x and the matrix rows of its group. Names and not arrays: an
/// index that a compiler does not unroll would push the sums out of registers. What R and BATCH
/// leave out is never used, and so no register either.
struct Sums {
  a0: vec4<f32>,
  a1: vec4<f32>,
  a2: vec4<f32>,
  a3: vec4<f32>,
  sum: vec4<f32>,
  squares: vec4<f32>,
  pivot: vec4<f32>,
}

/// A column eight of the matrix rows of a group.
struct Column { w0: Stored, w1: Stored, w2: Stored, w3: Stored }

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

/// Where row `first + j` of x begins; past the last one, that one again.
fn row_of_x(first: u32, j: u32) -> u32 {
  return min(first + j, sizes.batch - 1u) * (sizes.k / 4u);
}

fn pivot(first: u32, j: u32) -> f32 {
  return dot(x[row_of_x(first, j)] + x[row_of_x(first, j) + 1u], vec4<f32>(0.125));
}

fn pivots(s: ptr<function, Sums>, first: u32) {
  if (NORM == 0u) { return; }
  if (COMPACT == 1u) {
    // SHARE times, see fours()
    for (var j = 0u; j < select(1u, SHARE, sizes.batch >= SHARE); j++) { (*s).pivot[j] = pivot(first, j); }
    return;
  }
  (*s).pivot.x = pivot(first, 0u);
  if (SHARE > 1u) { (*s).pivot.y = pivot(first, 1u); }
  if (SHARE > 2u) { (*s).pivot.z = pivot(first, 2u); }
  if (SHARE > 3u) { (*s).pivot.w = pivot(first, 3u); }
}

/// Channel eight `c` of row `first + j` of x, ready to be multiplied; `measured`: its moments
/// count.
fn channels(s: ptr<function, Sums>, first: u32, j: u32, c: u32, g: Eight, measured: bool) -> Eight {
  var v = Eight(x[row_of_x(first, j) + 2u * c], x[row_of_x(first, j) + 2u * c + 1u]);
  if (NORM == 1u) {
    v.lo -= (*s).pivot[j];
    v.hi -= (*s).pivot[j];
    if (measured) {
      (*s).sum[j] += dot(v.lo, vec4<f32>(1.0)) + dot(v.hi, vec4<f32>(1.0));
      (*s).squares[j] += dot(v.lo, v.lo) + dot(v.hi, v.hi);
    }
    v.lo *= g.lo;
    v.hi *= g.hi;
  }
  return v;
}

fn product(w: Eight, v: Eight) -> f32 {
  return dot(w.lo, v.lo) + dot(w.hi, v.hi);
}

/// The products of eight weights with a four of rows of x.
fn products(stored: Stored, v0: Eight, v1: Eight, v2: Eight, v3: Eight) -> vec4<f32> {
  let w = eight(stored);
  var p = vec4<f32>(product(w, v0), 0.0, 0.0, 0.0);
  if (SHARE > 1u) { p.y = product(w, v1); }
  if (SHARE > 2u) { p.z = product(w, v2); }
  if (SHARE > 3u) { p.w = product(w, v3); }
  return p;
}

/// Adds column eight `c` of the four of rows of x that begins with `first`.
fn add(s: ptr<function, Sums>, first: u32, c: u32, w: Column, g: Eight, measured: bool) {
  let v0 = channels(s, first, 0u, c, g, measured);
  var v1 = Eight();
  var v2 = Eight();
  var v3 = Eight();
  if (SHARE > 1u) { v1 = channels(s, first, 1u, c, g, measured); }
  if (SHARE > 2u) { v2 = channels(s, first, 2u, c, g, measured); }
  if (SHARE > 3u) { v3 = channels(s, first, 3u, c, g, measured); }
  (*s).a0 += products(w.w0, v0, v1, v2, v3);
  if (R > 1u) { (*s).a1 += products(w.w1, v0, v1, v2, v3); }
  if (R > 2u) {
    (*s).a2 += products(w.w2, v0, v1, v2, v3);
    (*s).a3 += products(w.w3, v0, v1, v2, v3);
  }
}

/// FOURS, said so that a compiler cannot know it where it would unroll a loop over the fours. Such
/// loops swap s and t, so that one piece of code serves both; swapped twice, they stand as before.
fn fours() -> u32 {
  if (COMPACT == 1u && FOURS == 2u) { return select(1u, 2u, sizes.batch > SHARE); }
  return FOURS;
}

fn swap(s: ptr<function, Sums>, t: ptr<function, Sums>) {
  if (FOURS == 1u) { return; }
  let u = *s;
  *s = *t;
  *t = u;
}

fn walk(first: u32, batch: u32, group: u32, lane: u32, lanes: u32) {
  let k8 = sizes.k / 8u;
  // Rows past the end read the last one again: cheaper than a branch, and never stored.
  let rows = min(vec4<u32>(first + group / SPLIT * R) + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(sizes.n - 1u)) * k8;
  let measured = group / SPLIT == 0u; // one walk over x in a workgroup is enough for its moments
  let step = SPLIT * lanes;
  var c = group % SPLIT * lanes + lane;
  var s = Sums();
  var t = Sums();
  // The first weights are on their way before x is looked at, and the next ones before these are
  // multiplied.
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
        add(&s, batch + four * SHARE, at, w, g, measured);
        swap(&s, &t);
      }
    } else {
      add(&s, batch, at, w, g, measured);
      if (FOURS == 2u) { add(&t, batch + SHARE, at, w, g, measured); }
    }
  }
  group_sum(group, lane, &s, &t);
}

/// [s | b] of a matrix row: asked for before the walk, so that it is there when the walk has ended.
fn terms_of(row: u32) -> vec2<f32> {
  var own = vec2<f32>();
  let at = min(row, sizes.n - 1u);
  if (NORM == 1u) { own.x = terms[at]; }
  if (sizes.terms == 1u) { own.y = terms[sizes.n + at]; }
  return own;
}

/// The result of row `r` of the workgroup for a four of rows of x, after `walk` and a barrier;
/// `own` are the row's terms.
fn finished(r: u32, four: u32, own: vec2<f32>) -> vec4<f32> {
  var y = results[four * ROWS + r];
  for (var part = 1u; part < SPLIT; part++) { y += results[(part * FOURS + four) * ROWS + r]; }
  if (NORM == 1u) {
    var sum = moments[2u * four];
    var squares = moments[2u * four + 1u];
    for (var part = 1u; part < SPLIT; part++) {
      sum += moments[2u * (part * FOURS + four)];
      squares += moments[2u * (part * FOURS + four) + 1u];
    }
    let mean = sum / f32(sizes.k);
    let variance = max(squares / f32(sizes.k) - mean * mean, vec4<f32>(0.0));
    y = (y - mean * own.x) * inverseSqrt(variance + EPS);
  }
  return y + own.y;
}

/// Rows of x that a tile from `batch` on has.
fn tile_rows(batch: u32) -> u32 {
  return min(BATCH, sizes.batch - batch);
}
