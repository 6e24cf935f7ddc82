// One dispatch of an LSTM: a time step of every layer.
//   i, f, g, o = W_ih · input + W_hh · h + b_ih + b_hh
//   c = σ(f) · c + σ(i) · tanh(g),   h = σ(o) · tanh(c)
//   y = h of the last layer, + skip, then ELU
// torch: nn.LSTM, input and hidden size H; HF: EncodecLSTM.
// lstm/step.wgsl says how the layers advance as a wavefront, and what the bindings hold. Only the
// weights w lie otherwise: the rows (unit, gate) of a layer in panels of 16, which are four units,
// each of them one walk straight through memory; a layer above the first has W_ih and W_hh side by
// side, because their inputs are neighbours in `before`.
// Threads divide the panels of all layers.

import { elu4, sigmoid4, tanh4 } from '../common/activations.as';
import { panelTimesVector } from '../common/products.as';
import { share } from '../common/share.as';
import { transpose4, zero } from '../common/simd.as';

export function lstm(
  p: usize, // first, L, H, quads = ⌈H / 4⌉, layers, B, skip, activate
  x: usize, // (B, L, H) vec4s of four gates, of layer 0
  w: usize, // packLstm's `recurrent`
  skip: usize, // (B, L, H), unread without p.skip
  before: usize, // (B, layers, 4 · quads) h, then the step counter
  after: usize, // the same of the next dispatch
  c: usize, // (B, layers, 4 · quads) cell state
  y: usize, // (B, L, H)
  thread: i32, threads: i32, scratch: usize,
): void {
  const steps = load<i32>(p, 4), size = load<i32>(p, 8), quads = load<i32>(p, 12), layers = load<i32>(p, 16);
  const batch = load<i32>(p, 20), skips = load<u32>(p, 24), activate = load<u32>(p, 28);
  const counter = <usize>(batch * layers * quads) << 4;
  const t = load<u32>(p) ? 0 : <i32>load<f32>(before + counter);
  if (thread == 0) store<f32>(after + counter, <f32>(t + 1));

  const width = quads << 2; // channels of h in memory
  const rows = (4 * size + 15) & ~15; // of a layer's weights
  const biases = w + (<usize>rows * <usize>(width * (2 * layers - 1)) << 2);
  const items = layers * quads;
  for (let item = share(items, thread, threads); item < share(items, thread + 1, threads); item++) {
    const layer = item / quads, unit = (item % quads) << 2;
    const step = t - layer;
    if (step < 0 || step >= steps) continue;
    const inputs = layer == 0 ? 0 : width;
    const layerAt = layer == 0 ? 0 : <usize>rows * <usize>(width * (2 * layer - 1));
    const panel = w + ((layerAt + <usize>(4 * unit) * <usize>(inputs + width)) << 2);
    const count = step == 0 ? inputs : inputs + width; // h before the first step is zero
    for (let b = 0; b < batch; b++) {
      const own = <usize>((b * layers + layer) * width) << 2;
      panelTimesVector(before + own - (<usize>inputs << 2), count, panel, 1, scratch);
      const from = layer == 0
        ? x + (<usize>((b * steps + step) * size + unit) << 4)
        : biases + (<usize>((layer - 1) * size + unit) << 4);
      const some = min(4, size - unit);
      for (let i: usize = 0; i < <usize>some << 4; i += 16)
        v128.store(scratch + i, f32x4.add(v128.load(scratch + i), v128.load(from + i)));
      const at = own + (<usize>unit << 2);
      const hidden = update(scratch, c + at, step > 0, some);
      v128.store(after + at, hidden);
      if (layer + 1 == layers)
        output(hidden, some, ((b * steps + step) * size + unit) << 2, skips ? skip : 0, y, activate, scratch);
    }
  }
}

/** Four units' cell state and h from their gates, (4 units, 4 gates); units from `some` on are 0. */
function update(gates: usize, cells: usize, more: bool, some: i32): v128 {
  transpose4(v128.load(gates), v128.load(gates, 16), v128.load(gates, 32), v128.load(gates, 48), gates, 16);
  const i = v128.load(gates), f = v128.load(gates, 16), g = v128.load(gates, 32), o = v128.load(gates, 48);
  const real = i32x4.lt_s(i32x4(0, 1, 2, 3), i32x4.splat(some));
  let cell = f32x4.mul(sigmoid4(i), tanh4(g));
  if (more) cell = f32x4.add(cell, f32x4.mul(sigmoid4(f), v128.load(cells)));
  cell = v128.and(cell, real);
  v128.store(cells, cell);
  return v128.and(f32x4.mul(sigmoid4(o), tanh4(cell)), real);
}

/** Writes up to four channels of y at byte `at`. */
function output(hidden: v128, some: i32, at: usize, skip: usize, y: usize, activate: u32, scratch: usize): void {
  let v = hidden;
  if (some == 4) {
    if (skip) v = f32x4.add(v, v128.load(skip + at));
    if (activate) v = elu4(v);
    v128.store(y + at, v);
    return;
  }
  v128.store(scratch, zero());
  if (skip) memory.copy(scratch, skip + at, <usize>some << 2);
  v = f32x4.add(v, v128.load(scratch));
  if (activate) v = elu4(v);
  v128.store(scratch, v);
  memory.copy(y + at, scratch, <usize>some << 2);
}
