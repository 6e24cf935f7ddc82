// One dispatch of an LSTM: a time step of every layer.
//   i, f, g, o = W_ih · input + W_hh · h + b_ih + b_hh
//   c = σ(f) · c + σ(i) · tanh(g),   h = σ(o) · tanh(c)
//   y = h of the last layer, + skip, then ELU
// torch: nn.LSTM, input and hidden size H; HF: EncodecLSTM.
// lstm/step.wgsl says how the layers advance as a wavefront, and what the bindings hold. Only the
// weights w lie otherwise: the rows (unit, gate) of a layer in panels of 24, which are six units,
// each of them one walk straight through memory; a layer above the first has W_ih and W_hh side by
// side, because their inputs are neighbours in `before`.
// Threads divide the panels of all layers.

import { elu4, sigmoid4, tanh4 } from '../common/activations.as';
import { share } from '../common/share.as';
import { madd, transpose4, zero } from '../common/simd.as';

/** Units of a panel; lstm.ts packs so many. */
const UNITS = 6;

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
  const panels = (size + UNITS - 1) / UNITS; // of a layer
  const matrix = <usize>(4 * UNITS * panels) * <usize>width << 2; // bytes of W_ih, and of W_hh
  const biases = w + matrix * (2 * layers - 1);
  const items = layers * panels;
  for (let item = share(items, thread, threads); item < share(items, thread + 1, threads); item++) {
    const layer = item / panels, first = (item % panels) * UNITS;
    const step = t - layer;
    if (step < 0 || step >= steps) continue;
    const inputs = layer == 0 ? 0 : width;
    const panel =
      w + (layer == 0 ? 0 : matrix * (2 * layer - 1)) + (<usize>(4 * first) * <usize>(inputs + width) << 2);
    const count = step == 0 ? inputs : inputs + width; // h before the first step is zero
    for (let b = 0; b < batch; b++) {
      const own = <usize>((b * layers + layer) * width) << 2;
      panelTimesVector(before + own - (<usize>inputs << 2), count, panel, scratch);
      // Four units at a time, of the last four as many as the panel has.
      for (let u = 0; u < UNITS && first + u < size; u += 4) {
        const unit = first + u;
        const sums = scratch + (<usize>u << 4);
        const added = layer == 0
          ? x + (<usize>((b * steps + step) * size + unit) << 4)
          : biases + (<usize>((layer - 1) * size + unit) << 4);
        const some = min(min(4, UNITS - u), size - unit);
        for (let i: usize = 0; i < <usize>some << 4; i += 16)
          v128.store(sums + i, f32x4.add(v128.load(sums + i), v128.load(added + i)));
        const at = own + (<usize>unit << 2);
        const hidden = update(sums, c + at, step > 0, some);
        storeLanes(after + at, hidden, some);
        // The last unit pads h with zeros to a multiple of four.
        if (unit + some == size) for (let i = size; i < width; i++) store<f32>(after + own + (<usize>i << 2), 0);
        if (layer + 1 < layers) continue;
        const out = <usize>((b * steps + step) * size + unit) << 2;
        let v = hidden;
        if (skips) v = f32x4.add(v, loadLanes(skip + out, some));
        if (activate) v = elu4(v);
        storeLanes(y + out, v, some);
      }
    }
  }
}

/**
 * Writes a panel times v (count) to `to`, (UNITS, 4 gates). Six sums: four would wait for each
 * other (a multiply-add takes four cycles), and eight were slower yet (kernels/MEASUREMENTS.md).
 */
function panelTimesVector(v: usize, count: i32, panel: usize, to: usize): void {
  let s0 = zero(), s1 = zero(), s2 = zero(), s3 = zero(), s4 = zero(), s5 = zero(), h: v128;
  for (const end = v + (<usize>count << 2); v < end; v += 4, panel += 96) {
    h = v128.load32_splat(v);
    s0 = madd(v128.load(panel), h, s0);
    s1 = madd(v128.load(panel, 16), h, s1);
    s2 = madd(v128.load(panel, 32), h, s2);
    s3 = madd(v128.load(panel, 48), h, s3);
    s4 = madd(v128.load(panel, 64), h, s4);
    s5 = madd(v128.load(panel, 80), h, s5);
  }
  v128.store(to, s0);
  v128.store(to, s1, 16);
  v128.store(to, s2, 32);
  v128.store(to, s3, 48);
  v128.store(to, s4, 64);
  v128.store(to, s5, 80);
}

/** Stores the cell state of `some` units and returns their h, from their sums, (4 units, 4 gates). */
function update(sums: usize, cells: usize, more: bool, some: i32): v128 {
  transpose4(v128.load(sums), v128.load(sums, 16), v128.load(sums, 32), v128.load(sums, 48), sums, 16);
  const i = v128.load(sums), f = v128.load(sums, 16), g = v128.load(sums, 32), o = v128.load(sums, 48);
  let cell = f32x4.mul(sigmoid4(i), tanh4(g));
  if (more) cell = f32x4.add(cell, f32x4.mul(sigmoid4(f), loadLanes(cells, some)));
  storeLanes(cells, cell, some);
  return f32x4.mul(sigmoid4(o), tanh4(cell));
}

/** Up to four numbers; the other lanes are 0. What lies behind them may be another thread's. */
function loadLanes(at: usize, some: i32): v128 {
  if (some == 4) return v128.load(at);
  let v = v128.load32_zero(at);
  if (some > 1) v = f32x4.replace_lane(v, 1, load<f32>(at, 4));
  if (some > 2) v = f32x4.replace_lane(v, 2, load<f32>(at, 8));
  return v;
}

function storeLanes(at: usize, v: v128, some: i32): void {
  if (some == 4) {
    v128.store(at, v);
    return;
  }
  store<f32>(at, f32x4.extract_lane(v, 0));
  if (some > 1) store<f32>(at, f32x4.extract_lane(v, 1), 4);
  if (some > 2) store<f32>(at, f32x4.extract_lane(v, 2), 8);
}
