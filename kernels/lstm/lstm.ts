// A unidirectional LSTM over (B, T, H) f32 activations, starting from zero state, with an optional
// skip connection around all layers and an ELU after it. torch: nn.LSTM with equal input and hidden
// sizes; HF: EncodecLSTM. The input product of the first layer does not depend on time, so it is
// one product over all steps (a conv1d with kernel size 1). Then the layers advance as a wavefront,
// one dispatch for each step (lstm/step.wgsl), so that no workgroup waits for another.

import type { BackendKind } from '../../runtime/compute/backend.ts';
import type { Recorder } from '../../runtime/compute/program.ts';
import { expectDType, expectShape, reshape, type Tensor } from '../../runtime/compute/tensor.ts';
import { conv1d, ordered, padTo4 } from '../conv/conv1d.ts';
import { shader } from '../shaders.ts';

/** The weights of all layers, packed by `packLstm`. H is `size`. */
export interface Lstm {
  readonly size: number; // H
  readonly layers: number;
  readonly input: Tensor; // (H, 4H) f32: W_ih of layer 0, transposed; columns are (unit, gate)
  readonly bias: Tensor; // (4H) f32: bias_ih + bias_hh of layer 0, (unit, gate)
  readonly recurrent: Tensor; // (recurrentLength) f32: all other weights
}

/** A layer as torch stores it: weights (4H, H) and biases (4H), rows are (gate, unit). */
export interface LstmLayer {
  readonly weightIh: Float32Array;
  readonly weightHh: Float32Array;
  readonly biasIh: Float32Array;
  readonly biasHh: Float32Array;
}

const GATES = 4; // i, f, g, o: torch's order
const THREADS = 64; // minimum threads of a workgroup
const PORTABLE_LANES = 8; // threads that share a unit in the portable variant
const PANEL = 6 * GATES; // rows of a panel of a processor's weights

/**
 * Number of elements of `Lstm.recurrent`. For a processor the rows, four for each unit, stand in
 * panels, [column][row of the panel] (lstm.as.ts).
 */
export const recurrentLength = (size: number, layers: number, kind: BackendKind = 'webgpu'): number =>
  rowsOf(size, kind) * padTo4(size) * (2 * layers - 1) + GATES * size * (layers - 1);

/** Rows of a layer's weights, padded to whole panels. */
const rowsOf = (size: number, kind: BackendKind): number =>
  kind === 'wasm' ? Math.ceil((GATES * size) / PANEL) * PANEL : GATES * size;

/** torch's layers in the layout of `Lstm`, for a device of this kind. */
export function packLstm(
  size: number,
  layers: readonly LstmLayer[],
  kind: BackendKind = 'webgpu',
): { input: Float32Array; bias: Float32Array; recurrent: Float32Array } {
  const width = GATES * size;
  const pitch = padTo4(size);
  const input = new Float32Array(size * width);
  const recurrent = new Float32Array(recurrentLength(size, layers.length, kind));
  const biases = layers.map(() => new Float32Array(width));
  let at = 0;
  for (const [n, layer] of layers.entries()) {
    const parts = n === 0 ? [layer.weightHh] : [layer.weightIh, layer.weightHh];
    for (let unit = 0; unit < size; unit++) {
      for (let gate = 0; gate < GATES; gate++) {
        const row = gate * size + unit;
        const column = unit * GATES + gate;
        biases[n]![column] = layer.biasIh[row]! + layer.biasHh[row]!;
        if (n === 0) for (let k = 0; k < size; k++) input[k * width + column] = layer.weightIh[row * size + k]!;
        for (const [i, part] of parts.entries()) {
          const values = part.subarray(row * size, (row + 1) * size);
          if (kind !== 'wasm') recurrent.set(values, at + (column * parts.length + i) * pitch);
          else {
            const place = column % PANEL;
            const panel = at + (column - place) * parts.length * pitch;
            for (let k = 0; k < size; k++) recurrent[panel + (i * pitch + k) * PANEL + place] = values[k]!;
          }
        }
      }
    }
    at += rowsOf(size, kind) * parts.length * pitch;
  }
  for (const bias of biases.slice(1)) {
    recurrent.set(bias, at);
    at += width;
  }
  return { input: ordered(input, size, width, kind), bias: biases[0]!, recurrent };
}

/**
 * y (B, T, H) = lstm(x (B, T, H)), f32; `skip` adds x, and `activate` applies ELU to the result. y
 * must not be x. Throws ShapeError where the tensors do not fit.
 */
export function lstm(
  r: Recorder,
  y: Tensor,
  x: Tensor,
  w: Lstm,
  options: { skip?: boolean; activate?: boolean } = {},
): void {
  const { size, layers } = w;
  const [batch, steps] = x.shape as readonly [number, number, number];
  for (const name of ['input', 'bias', 'recurrent'] as const) expectDType('lstm', name, w[name], 'f32');
  expectShape('lstm', 'recurrent', w.recurrent, [recurrentLength(size, layers, r.device.kind)]);
  expectShape('lstm', 'x', x, [null, null, size]);
  expectShape('lstm', 'y', y, [batch, steps, size]);
  const { subgroups, subgroupMinSize, subgroupMaxSize } = r.device.capabilities;
  const threads = Math.max(THREADS, subgroupMaxSize);
  const units = threads / (subgroups ? subgroupMinSize : PORTABLE_LANES); // of one workgroup
  const pitch = padTo4(size);

  const gates = r.temp([batch, steps, GATES * size], 'lstm gates');
  const projection = { inChannels: size, outChannels: GATES * size, kernelSize: 1, stride: 1, dilation: 1 };
  conv1d(r, gates, x, { weight: w.input, bias: w.bias, ...projection });

  // Hidden state and step number alternate between two buffers, so two bind groups take turns.
  // Dispatch t computes step t − l of layer l, so the last layer ends layers − 1 dispatches after
  // the first.
  const even = r.temp([batch * layers * pitch + 4], 'lstm h');
  const odd = r.temp(even.shape, 'lstm h');
  const c = r.temp([batch, layers, pitch], 'lstm c');
  const flags = [options.skip ? 1 : 0, options.activate ? 1 : 0];
  const step = (before: Tensor, after: Tensor, first = false): void =>
    r.dispatch(shader(subgroups ? 'lstm_subgroup' : 'lstm'), {
      overrides: { WG: threads, UNITS: units },
      bind: {
        p: [first ? 1 : 0, steps, size, pitch / 4, layers, batch, ...flags],
        x: reshape(gates, [batch, steps, size, GATES]),
        w: w.recurrent,
        skip: x,
        before,
        after,
        c,
        y,
      },
      grid: [Math.ceil(pitch / units), layers, batch],
    });
  step(even, odd, true);
  r.repeat(Math.ceil((steps + layers - 2) / 2), () => {
    step(odd, even);
    step(even, odd);
  });
  r.free(gates, even, odd, c);
}
