// The recurrent half of one LSTM layer: h, c of each step from the step's input projection and the previous h. torch: nn.LSTM.
// One workgroup a sentence walks the steps; a thread makes all four gates of a unit, so that only h passes between threads. Where there are
// more threads than units, `slices` of them share a unit's sum. Long clips come in several dispatches, with h and c carried in `state`.
// Gates lie (i, f, g, o) in a vec4. Grid: (1, 1, sentences).
struct Params {
  steps: u32, // of a sentence in x and y
  start: u32, // this dispatch walks start … end - 1
  end: u32,
  size: u32,   // H
  slices: u32, // threads that share a unit; > 1 only where all units have theirs at once
  skip: u32,   // 1: add what the layers read
}
@group(0) @binding(0) var<uniform>             p: Params;
@group(0) @binding(1) var<storage, read>       x: array<vec4<f32>>;  // (B, T, H) gates: W_ih · input + both biases
@group(0) @binding(2) var<storage, read>       w: array<vec4<f32>>;  // (H rounded up to 4, H) gates: W_hh transposed, so that neighbouring threads read neighbours
@group(0) @binding(3) var<storage, read>       skip: array<f32>;     // (B, T, H), unread without p.skip
@group(0) @binding(4) var<storage, read_write> state: array<f32>;    // (B, 2, H): h and c after the last step
@group(0) @binding(5) var<storage, read_write> y: array<f32>;        // (B, T, H): h, + skip
override WG: u32;
override H_MAX: u32; // a multiple of 4

var<workgroup> h: array<f32, 2u * H_MAX>; // of the step before and of this one, by parity
var<workgroup> c: array<f32, H_MAX>;
var<workgroup> partial: array<vec4<f32>, WG>;

fn sigmoid(v: vec4<f32>) -> vec4<f32> { return 1.0 / (1.0 + exp(-max(v, vec4<f32>(-80.0)))); }
// WGSL lets tanh be off by 1e-5; this is not.
fn tanh_exact(v: f32) -> f32 { return 1.0 - 2.0 / (1.0 + exp(2.0 * min(v, 40.0))); }

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let sentence = group.z;
  let size = p.size;
  let terms = (size + 3u) / 4u * 4u; // zeros fill the last ones up
  let lanes = WG / p.slices;
  let slice = thread / lanes;
  let lane = thread % lanes;
  let depth = (terms / 4u + p.slices - 1u) / p.slices * 4u; // of one slice
  let k_start = min(slice * depth, terms);
  let k_end = min(k_start + depth, terms);

  for (var u = thread; u < 2u * H_MAX; u += WG) { h[u] = 0.0; }
  workgroupBarrier();
  if (p.start > 0u) {
    for (var u = thread; u < size; u += WG) {
      h[(p.start & 1u) * H_MAX + u] = state[sentence * 2u * size + u];
      c[u] = state[sentence * 2u * size + size + u];
    }
  } else {
    for (var u = thread; u < size; u += WG) { c[u] = 0.0; }
  }
  workgroupBarrier();

  for (var t = p.start; t < p.end; t++) {
    let before = (t & 1u) * H_MAX;
    let now = H_MAX - before;
    for (var u0 = 0u; u0 < size; u0 += lanes) {
      let u = u0 + lane;
      var gates = vec4<f32>(0.0);
      if (u < size && slice < p.slices) {
        for (var k = k_start; k < k_end; k += 4u) {
          gates += h[before + k] * w[k * size + u];
          gates += h[before + k + 1u] * w[(k + 1u) * size + u];
          gates += h[before + k + 2u] * w[(k + 2u) * size + u];
          gates += h[before + k + 3u] * w[(k + 3u) * size + u];
        }
      }
      if (p.slices > 1u) {
        partial[thread] = gates;
        workgroupBarrier();
        if (slice == 0u) {
          for (var s = 1u; s < p.slices; s++) { gates += partial[s * lanes + lane]; }
        }
      }
      if (u < size && slice == 0u) {
        let at = (sentence * p.steps + t) * size + u;
        gates += x[at];
        let ifo = sigmoid(gates);
        let cell = ifo.y * c[u] + ifo.x * tanh_exact(gates.z);
        let hidden = ifo.w * tanh_exact(cell);
        c[u] = cell;
        h[now + u] = hidden;
        var out = hidden;
        if (p.skip == 1u) { out += skip[at]; }
        y[at] = out;
      }
    }
    workgroupBarrier();
  }

  for (var u = thread; u < size; u += WG) {
    state[sentence * 2u * size + u] = h[(p.end & 1u) * H_MAX + u];
    state[sentence * 2u * size + size + u] = c[u];
  }
}
