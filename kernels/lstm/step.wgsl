// One step of every layer of an LSTM: layer l makes its step t − l of what layer l − 1 made of it
// in the dispatch before. torch: nn.LSTM. So a clip of T steps takes T + layers − 1 dispatches of
// many workgroups. What layer 0 reads is multiplied beforehand, as one product of all steps; a row
// of a layer above holds W_ih and W_hh side by side, since what it multiplies lies side by side as
// well: h of the layer below and its own. Dispatches take turns on two bind groups, whose `before`
// and `after` are each other's; the number of the step goes with h. Every dispatch but the first of
// a run has it from there, and one past the end leaves at once. A group of lanes walks the four
// gates of a unit.
// The file that includes this adds the lanes.
#include "common/elu.wgsl"
struct Params {
  first: u32,    // 1: step 0, whatever `before` holds
  steps: u32,    // T
  size: u32,     // H
  quads: u32,    // vec4s of H, rounded up
  layers: u32,
  batch: u32,    // sentences
  skip: u32,     // 1: add what the first layer reads
  activate: u32, // 1: elu(…) is what is written
}
@group(0) @binding(0) var<uniform>             p: Params;
// (B, T, H) gates of layer 0: W_ih · input + both biases
@group(0) @binding(1) var<storage, read>       x: array<vec4<f32>>;
// packLstm's `recurrent`: layer 0 (H, gate, quads), others (H, gate, 2 · quads), their biases (H)
// gates
@group(0) @binding(2) var<storage, read>       w: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read>       skip: array<f32>;         // (B, T, H), unread without p.skip
@group(0) @binding(4) var<storage, read>       before: array<vec4<f32>>; // (B, layers, quads) h, then the step's number
@group(0) @binding(5) var<storage, read_write> after: array<f32>;        // the same
@group(0) @binding(6) var<storage, read_write> c: array<f32>;            // (B, layers, 4 · quads)
@group(0) @binding(7) var<storage, read_write> y: array<f32>;            // (B, T, H): h of the last layer, + skip
override WG: u32 = 64u;
override UNITS: u32 = 8u; // of a workgroup

fn sigmoid(v: vec4<f32>) -> vec4<f32> { return 1.0 / (1.0 + exp(-max(v, vec4<f32>(-80.0)))); }
// WGSL lets tanh be off by 1e-5; this is not.
fn tanh_exact(v: f32) -> f32 { return 1.0 - 2.0 / (1.0 + exp(2.0 * min(v, 40.0))); }

/// The step that `layer` makes now; one outside 0 … T − 1: none.
fn begin(layer: u32, writes: bool) -> i32 {
  let counter = p.batch * p.layers * p.quads;
  let t = select(before[counter].x, 0.0, p.first == 1u);
  if (writes) { after[4u * counter] = t + 1.0; }
  return i32(t) - i32(layer);
}

/// A lane's part of a unit's gates (i, f, g, o). The first lane begins with what is added to the
/// products, so that it comes with the weights.
fn walk(layer: u32, step: i32, unit: u32, sentence: u32, lane: u32, lanes: u32) -> vec4<f32> {
  let real = min(unit, p.size - 1u);
  let inputs = select(p.quads, 0u, layer == 0u);
  let width = inputs + p.quads;
  let row = select(4u * p.size * p.quads * (2u * layer - 1u), 0u, layer == 0u) + 4u * width * real;
  let end = select(width, inputs, step == 0); // h before the first step is zero
  let h = (sentence * p.layers + select(layer - 1u, 0u, layer == 0u)) * p.quads;
  var sum = vec4<f32>(0.0);
  if (lane == 0u) {
    if (layer == 0u) { sum = x[(sentence * p.steps + u32(step)) * p.size + real]; } else { sum = w[4u * p.size * p.quads * (2u * p.layers - 1u) + (layer - 1u) * p.size + real]; }
  }
  for (var k = lane; k < end; k += lanes) {
    let v = before[h + k];
    sum += vec4<f32>(dot(w[row + k], v), dot(w[row + width + k], v), dot(w[row + 2u * width + k], v), dot(w[row + 3u * width + k], v));
  }
  return sum;
}

/// What becomes of a unit's gates.
fn finish(layer: u32, step: i32, unit: u32, sentence: u32, gates: vec4<f32>) {
  if (unit >= 4u * p.quads) { return; }
  let at = 4u * p.quads * (sentence * p.layers + layer) + unit;
  if (unit >= p.size) { // fills the last vec4 up
    after[at] = 0.0;
    return;
  }
  let ifo = sigmoid(gates);
  var cell = ifo.x * tanh_exact(gates.z);
  if (step > 0) { cell += ifo.y * c[at]; }
  let hidden = ifo.w * tanh_exact(cell);
  c[at] = cell;
  after[at] = hidden;
  if (layer + 1u == p.layers) {
    let frame = (sentence * p.steps + u32(step)) * p.size + unit;
    var out = hidden;
    if (p.skip == 1u) { out += skip[frame]; }
    if (p.activate == 1u) { out = elu(vec4<f32>(out)).x; }
    y[frame] = out;
  }
}
