// One dispatch of an LSTM: a time step of every layer.
//   i, f, g, o = W_ih · input + W_hh · h + b_ih + b_hh
//   c = σ(f) · c + σ(i) · tanh(g),   h = σ(o) · tanh(c)
//   y = h of the last layer, + skip, then ELU
// torch: nn.LSTM, input and hidden size H; HF: EncodecLSTM.
// Shapes: L steps (frames), `quads` vec4s of H channels; the gates of a unit are one vec4.
//
// - In dispatch t, layer l computes step t − l, from the h that layer l − 1 made of it in the
//   dispatch before. So a clip of L steps takes L + layers − 1 dispatches of many workgroups.
// - Layer 0: W_ih · input + both biases is one product over all steps, made beforehand (x).
// - Weights w: layer 0 holds W_hh (H, gate, quads). A layer above holds W_ih and W_hh side by side
//   (H, gate, 2 · quads), because their inputs, h of the layer below and its own, are neighbours in
//   `before`. The biases of the layers above follow, (H, gate) each.
// - Two bind groups ping-pong h: `before` of one is `after` of the other. The step counter is
//   stored after h, so every dispatch but the first of a run reads it there. A dispatch past the
//   last step returns at once.
// - A group of lanes computes the four gates of a unit. The file that includes this adds the lanes.
#include "common/elu.wgsl"
struct Params {
  first: u32,    // 1: the first dispatch of a run; the counter in `before` is not read
  steps: u32,    // L
  size: u32,     // H
  quads: u32,    // ⌈H / 4⌉
  layers: u32,
  batch: u32,    // B
  skip: u32,     // 1: adds `skip` to y
  activate: u32, // 1: writes elu(…)
}
@group(0) @binding(0) var<uniform>             p: Params;
@group(0) @binding(1) var<storage, read>       x: array<vec4<f32>>;      // (B, L, H) vec4s of four gates, of layer 0
@group(0) @binding(2) var<storage, read>       w: array<vec4<f32>>;      // packLstm's `recurrent`, above
@group(0) @binding(3) var<storage, read>       skip: array<f32>;         // (B, L, H), unread without p.skip
@group(0) @binding(4) var<storage, read>       before: array<vec4<f32>>; // (B, layers, quads) h, then the step counter
@group(0) @binding(5) var<storage, read_write> after: array<f32>;        // (B, layers, 4 · quads) h, then the counter
@group(0) @binding(6) var<storage, read_write> c: array<f32>;            // (B, layers, 4 · quads) cell state
@group(0) @binding(7) var<storage, read_write> y: array<f32>;            // (B, L, H)
override WG: u32 = 64u;
override UNITS: u32 = 8u; // units of a workgroup

/// Sigmoid of each component; the bound keeps exp finite.
fn sigmoid(v: vec4<f32>) -> vec4<f32> { return 1.0 / (1.0 + exp(-max(v, vec4<f32>(-80.0)))); }

/// tanh(v). WGSL's own tanh may be off by 1e-5.
fn tanh_exact(v: f32) -> f32 { return 1.0 - 2.0 / (1.0 + exp(2.0 * min(v, 40.0))); }

/// The time step that `layer` computes in this dispatch; outside 0 … L − 1 it computes none. The
/// one thread with `writes` stores the counter of the next dispatch.
fn step_of(layer: u32, writes: bool) -> i32 {
  let counter = p.batch * p.layers * p.quads;
  let t = select(before[counter].x, 0.0, p.first == 1u);
  if (writes) { after[4u * counter] = t + 1.0; }
  return i32(t) - i32(layer);
}

/// This lane's part of the sums of a unit's four gates (i, f, g, o). Lane 0 starts with what is
/// added to the products (x or the bias), so that this load is in flight together with the weights.
fn partial_gates(layer: u32, step: i32, unit: u32, sentence: u32, lane: u32, lanes: u32) -> vec4<f32> {
  // Units past the last one read it again; they are not stored.
  let real = min(unit, p.size - 1u);
  // A row of w is `width` vec4s: W_ih (except in layer 0), then W_hh.
  let inputs = select(p.quads, 0u, layer == 0u);
  let width = inputs + p.quads;
  let row = select(4u * p.size * p.quads * (2u * layer - 1u), 0u, layer == 0u) + 4u * width * real;
  let end = select(width, inputs, step == 0); // h before the first step is zero
  let h = (sentence * p.layers + select(layer - 1u, 0u, layer == 0u)) * p.quads;
  var sum = vec4<f32>(0.0);
  if (lane == 0u) {
    if (layer == 0u) {
      sum = x[(sentence * p.steps + u32(step)) * p.size + real];
    } else {
      sum = w[4u * p.size * p.quads * (2u * p.layers - 1u) + (layer - 1u) * p.size + real];
    }
  }
  for (var k = lane; k < end; k += lanes) {
    let v = before[h + k];
    sum += vec4<f32>(
      dot(w[row + k], v), dot(w[row + width + k], v), dot(w[row + 2u * width + k], v), dot(w[row + 3u * width + k], v));
  }
  return sum;
}

/// Computes c and h of a unit from its gates and writes them, and y in the last layer.
fn update_unit(layer: u32, step: i32, unit: u32, sentence: u32, gates: vec4<f32>) {
  if (unit >= 4u * p.quads) { return; }
  let at = 4u * p.quads * (sentence * p.layers + layer) + unit;
  if (unit >= p.size) { // pads the last vec4 of h with zeros
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
