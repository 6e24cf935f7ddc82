// Sum and argmax over the threads of a workgroup through workgroup memory: core WGSL, no subgroups.
// - All threads must call these functions together; the results are uniform.
// - They reduce in two levels and not in a tree, because software drivers take long to compile
//   every barrier, those of unrolled loops included.
// - The file that includes this declares WG, the workgroup size, a multiple of 16.
const LOWEST = -3.4e38; // stands for −∞, which fast-math drivers assume not to exist
const PARTS = 16u;      // threads of the first level; the second level is one thread

/// A value and its index.
struct Best {
  value: f32,
  index: u32,
}
var<workgroup> reduce_values: array<f32, WG>;
var<workgroup> reduce_words: array<u32, WG>;
var<workgroup> reduced: Best;

/// The one with the larger value; of equal values the one with the lower index.
fn better(a: Best, b: Best) -> Best {
  if (b.value > a.value || (b.value == a.value && b.index < a.index)) { return b; }
  return a;
}

/// Σ of `mine` over all threads.
fn workgroup_sum(thread: u32, mine: f32) -> f32 {
  reduce_values[thread] = mine;
  workgroupBarrier();
  if (thread < PARTS) {
    var sum = 0.0;
    for (var i = thread; i < WG; i += PARTS) { sum += reduce_values[i]; }
    reduce_values[thread] = sum;
  }
  workgroupBarrier();
  if (thread == 0u) {
    var sum = 0.0;
    for (var i = 0u; i < PARTS; i++) { sum += reduce_values[i]; }
    reduced.value = sum;
  }
  return workgroupUniformLoad(&reduced).value;
}

/// The best of `mine` over all threads.
fn workgroup_argmax(thread: u32, mine: Best) -> Best {
  reduce_values[thread] = mine.value;
  reduce_words[thread] = mine.index;
  workgroupBarrier();
  if (thread < PARTS) {
    var best = mine;
    for (var i = thread + PARTS; i < WG; i += PARTS) { best = better(best, Best(reduce_values[i], reduce_words[i])); }
    reduce_values[thread] = best.value;
    reduce_words[thread] = best.index;
  }
  workgroupBarrier();
  if (thread == 0u) {
    var best = Best(reduce_values[0], reduce_words[0]);
    for (var i = 1u; i < PARTS; i++) { best = better(best, Best(reduce_values[i], reduce_words[i])); }
    reduced = best;
  }
  return workgroupUniformLoad(&reduced);
}
