// A unidirectional LSTM over (B, T, H) f32 activations, from zero state, with an optional skip around all its layers. torch: nn.LSTM whose
// input and hidden sizes are equal; HF: EncodecLSTM. The input projections of all steps are one product (conv1d of kernel 1); only the walk
// over the steps is a kernel of its own (lstm.wgsl), cut into dispatches short enough for drivers that reset a GPU that does not answer.

import { UnsupportedError } from '../runtime/errors.ts';
import type { Recorder } from '../runtime/program.ts';
import { expectDType, expectShape, reshape, type Tensor } from '../runtime/tensor.ts';
import { conv1d, padTo4 } from './conv1d.ts';
import { shader } from './shaders.ts';

export interface LstmLayer {
  readonly input: Tensor; // (H, 4H) f32: W_ih transposed, columns (unit, gate)
  readonly bias: Tensor; // (4H) f32: bias_ih + bias_hh, (unit, gate)
  readonly hidden: Tensor; // (padTo4(H), 4H) f32: W_hh transposed, columns (unit, gate)
}

const STEPS = 256; // of one dispatch
const SLICE_TERMS = 16; // a thread that shares a unit should have at least about so much of its sum
const GATES = 4; // i, f, g, o: torch's order

/** torch's weight_ih (4H, H), weight_hh (4H, H) and biases (4H), whose rows are (gate, unit), as the kernel reads them. */
export function packLstm(size: number, weightIh: Float32Array, weightHh: Float32Array, biasIh: Float32Array, biasHh: Float32Array) {
  const width = GATES * size;
  const input = new Float32Array(size * width);
  const hidden = new Float32Array(padTo4(size) * width);
  const bias = new Float32Array(width);
  for (let gate = 0; gate < GATES; gate++) {
    for (let unit = 0; unit < size; unit++) {
      const from = gate * size + unit;
      const to = unit * GATES + gate;
      for (let k = 0; k < size; k++) {
        input[k * width + to] = weightIh[from * size + k]!;
        hidden[k * width + to] = weightHh[from * size + k]!;
      }
      bias[to] = biasIh[from]! + biasHh[from]!;
    }
  }
  return { input, hidden, bias };
}

/** y (B, T, H) = lstm(x (B, T, H)), + x with `skip`. y must not be x. */
export function lstm(r: Recorder, y: Tensor, x: Tensor, layers: readonly LstmLayer[], options: { skip?: boolean } = {}): void {
  const [batch, steps, size] = x.shape as readonly [number, number, number];
  expectShape('lstm', 'y', y, [batch, steps, size]);
  const { threads, capacity } = workgroup(r, size);
  const slices = Math.max(1, Math.min(Math.ceil(size / SLICE_TERMS), Math.floor(threads / size)));
  const state = r.temp([batch, 2, size], 'lstm state');
  const gates = r.temp([batch, steps, GATES * size], 'lstm gates');
  const spare = layers.length > 1 ? r.temp(x.shape, 'lstm between layers') : y;
  let from = x;
  layers.forEach((layer, i) => {
    for (const [name, w] of Object.entries(layer)) expectDType('lstm', name, w, 'f32');
    expectShape('lstm', 'hidden', layer.hidden, [padTo4(size), GATES * size]);
    const last = i === layers.length - 1;
    const to = (layers.length - i) % 2 === 1 ? y : spare; // the last layer writes y
    conv1d(r, gates, from, { weight: layer.input, bias: layer.bias, inChannels: size, outChannels: GATES * size, kernelSize: 1, stride: 1, dilation: 1 });
    for (let start = 0; start < steps; start += STEPS) {
      r.dispatch(shader('lstm'), {
        overrides: { WG: threads, H_MAX: capacity },
        bind: {
          p: [steps, start, Math.min(start + STEPS, steps), size, slices, last && options.skip ? 1 : 0],
          x: reshape(gates, [batch, steps, size, GATES]), w: layer.hidden, skip: x, state, y: to,
        },
        grid: [1, 1, batch],
      });
    }
    from = to;
  });
  if (spare !== y) r.free(spare);
  r.free(state, gates);
}

/** Threads of a walk, and the hidden size that its workgroup memory is laid out for. */
function workgroup(r: Recorder, size: number): { threads: number; capacity: number } {
  const { maxComputeInvocationsPerWorkgroup, maxComputeWorkgroupSizeX, maxComputeWorkgroupStorageSize } = r.device.limits;
  const most = Math.min(maxComputeInvocationsPerWorkgroup, maxComputeWorkgroupSizeX);
  const capacities = [Math.max(256, 2 ** Math.ceil(Math.log2(size))), padTo4(size)]; // one pipeline for many sizes, where there is room
  const useful = size * Math.ceil(size / SLICE_TERMS); // more threads have nothing to do
  for (const threads of [1024, 512, 256, 128, 64]) {
    const capacity = threads <= most && threads < Math.max(128, 2 * useful) && capacities.find((n) => 16 * threads + 4 * 3 * n <= maxComputeWorkgroupStorageSize);
    if (capacity) return { threads, capacity };
  }
  throw new UnsupportedError(`lstm: got hidden size ${size}, expected one whose state fits in ${maxComputeWorkgroupStorageSize} bytes of workgroup memory. Use an adapter with larger limits.`);
}
