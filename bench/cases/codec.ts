// The cases of the codec: convolutions and LSTM at the sizes of EnCodec 24 kHz's decoder.

import { columnsShape, conv1d, packConv1d } from '../../kernels/conv/conv1d.ts';
import {
  convTranspose1d,
  convTranspose1dDepth,
  packConvTranspose1d,
  packConvTranspose1dBias,
} from '../../kernels/conv/conv_transpose1d.ts';
import { lstm, packLstm } from '../../kernels/lstm/lstm.ts';
import type { Device } from '../../runtime/compute/device.ts';
import type { Tensor } from '../../runtime/compute/tensor.ts';
import { dot, places, type Case, type MakeCase } from './case.ts';
import { filled, series } from '../model/values.ts';

const FRAMES_A_SECOND = 75;
const elu = (x: number): number => (x > 0 ? x : Math.expm1(x));

/**
 * Cases for `seconds` of audio; `filters` is the channel count of the layer next to the waveform.
 */
export function codecCases(device: Device, filters: number, seconds: number): MakeCase[] {
  const T = FRAMES_A_SECOND * seconds;
  const widest = 16 * filters;
  const [X, B] = [series(101), series(90_001, 0.02)];
  const put = (owner: { name: string }, data: Float32Array, shape: readonly number[], label: string): Tensor => {
    const t = device.createTensor(shape, 'f32', owner, label);
    device.write(t, data);
    return t;
  };
  const host = (s: { at(i: number): number }, n: number): Float32Array =>
    Float32Array.from({ length: n }, (_, i) => s.at(i));

  const conv =
    (
      frames: number,
      inChannels: number,
      outChannels: number,
      kernelSize: number,
      options: { elu?: boolean; activate?: boolean } = {},
    ): MakeCase =>
    async (owner): Promise<Case> => {
      const W = series(77_003, 1 / Math.sqrt(inChannels * kernelSize));
      const weight = put(
        owner,
        packConv1d(host(W, outChannels * inChannels * kernelSize), outChannels, inChannels, kernelSize, device.kind),
        columnsShape(kernelSize * inChannels, outChannels, device.kind),
        'weight',
      );
      const bias = put(owner, host(B, outChannels), [outChannels], 'bias');
      const x = filled(device, X, [1, frames, inChannels], 'f32', owner, 'x');
      const y = device.createTensor([1, frames, outChannels], 'f32', owner, 'y');
      const terms = kernelSize * inChannels;
      const [before, behind] = [options.elu, options.activate].map((on) => (on ? elu : (v: number) => v)) as [
        typeof elu,
        typeof elu,
      ];
      return {
        op: outChannels <= 4 ? 'conv1d_narrow' : 'conv1d',
        shape: `${frames} × ${inChannels} → ${outChannels}, kernel ${kernelSize}`,
        dtype: 'float32',
        bytes: 4 * (frames * (inChannels + outChannels) + terms * outChannels),
        flops: 2 * frames * terms * outChannels,
        output: y,
        record: (r) =>
          conv1d(r, y, x, { weight, bias, inChannels, outChannels, kernelSize, stride: 1, dilation: 1 }, options),
        expected: () =>
          places(frames * outChannels).map((at) => {
            const [t, o] = [Math.floor(at / outChannels), at % outChannels];
            const frame = (k: number): number => Math.abs(t + k - kernelSize + 1); // causal, reflected at the front
            const { value, size } = dot(
              terms,
              (i) => before(X.at(frame(Math.floor(i / inChannels)) * inChannels + (i % inChannels))),
              (i) => W.at((o * inChannels + (i % inChannels)) * kernelSize + Math.floor(i / inChannels)),
            );
            return { at, value: behind(value + B.at(o)), size };
          }),
      };
    };

  const upsampling =
    (frames: number, inChannels: number, stride: number): MakeCase =>
    async (owner): Promise<Case> => {
      const outChannels = inChannels / 2;
      const kernelSize = 2 * stride;
      const W = series(77_003, 1 / Math.sqrt(2 * inChannels));
      const sizes = { inChannels, outChannels, kernelSize, stride, trimLeft: 0 };
      const packed = packConvTranspose1d(host(W, inChannels * outChannels * kernelSize), sizes, device.kind);
      const shape = columnsShape(convTranspose1dDepth(sizes), stride * outChannels, device.kind);
      const weight = put(owner, packed, shape, 'weight');
      const bias = put(owner, packConvTranspose1dBias(host(B, outChannels), stride), [stride * outChannels], 'bias');
      const x = filled(device, X, [1, frames, inChannels], 'f32', owner, 'x');
      const y = device.createTensor([1, frames * stride, outChannels], 'f32', owner, 'y');
      return {
        op: 'conv_transpose1d',
        shape: `${frames} × ${inChannels} → ${frames * stride} × ${outChannels}`,
        dtype: 'float32',
        bytes: 4 * (frames * inChannels + frames * stride * outChannels + packed.length),
        flops: 4 * frames * stride * inChannels * outChannels,
        output: y,
        record: (r) => convTranspose1d(r, y, x, { ...sizes, weight, bias }),
        expected: () =>
          places(frames * stride * outChannels).map((at) => {
            const [out, o] = [Math.floor(at / outChannels), at % outChannels];
            let [value, size] = [B.at(o), 0];
            for (let k = out % stride; k < kernelSize; k += stride) {
              const frame = (out - k) / stride;
              if (frame < 0) continue;
              const part = dot(
                inChannels,
                (c) => X.at(frame * inChannels + c),
                (c) => W.at((c * outChannels + o) * kernelSize + k),
              );
              value += part.value;
              size += part.size;
            }
            return { at, value, size };
          }),
      };
    };

  /**
   * Both LSTM layers, the skip connection around them and the ELU after. Only the first frames are
   * checked, because each frame depends on all before it.
   */
  const recurrent: MakeCase = async (owner): Promise<Case> => {
    const H = widest;
    const S = 1 / Math.sqrt(H);
    const W = [0, 1].map((l) => ({
      ih: series(11_003 + 50_021 * l, S),
      hh: series(33_007 + 50_021 * l, S),
      bias: series(60_013 + l, 0.02),
    }));
    const packed = packLstm(
      H,
      W.map(({ ih, hh, bias }) => ({
        weightIh: host(ih, 4 * H * H),
        weightHh: host(hh, 4 * H * H),
        biasIh: host(bias, 4 * H),
        biasHh: host(bias, 4 * H),
      })),
      device.kind,
    );
    const layers = {
      size: H,
      layers: W.length,
      input: put(owner, packed.input, columnsShape(H, 4 * H, device.kind), 'input'),
      bias: put(owner, packed.bias, [4 * H], 'bias'),
      recurrent: put(owner, packed.recurrent, [packed.recurrent.length], 'recurrent'),
    };
    const x = filled(device, X, [1, T, H], 'f32', owner, 'x');
    const y = device.createTensor([1, T, H], 'f32', owner, 'y');
    const frames = Math.min(4, T);
    return {
      op: 'lstm',
      shape: `${T} × ${H}, 2 layers`,
      dtype: 'float32',
      bytes: 4 * (2 * 8 * H * H + 4 * T * H),
      flops: 2 * T * 2 * 8 * H * H,
      output: y,
      record: (r) => lstm(r, y, x, layers, { skip: true, activate: true }),
      expected: () => {
        const sigmoid = (v: number): number => 1 / (1 + Math.exp(-v));
        let rows = Array.from({ length: frames }, (_, t) =>
          Float64Array.from({ length: H }, (_, i) => X.at(t * H + i)),
        );
        for (const { ih, hh, bias } of W) {
          let h = new Float64Array(H);
          const c = new Float64Array(H);
          rows = rows.map((row) => {
            const gate = (g: number): number =>
              2 * bias.at(g) +
              dot(
                H,
                (k) => ih.at(g * H + k),
                (k) => row[k]!,
              ).value +
              dot(
                H,
                (k) => hh.at(g * H + k),
                (k) => h[k]!,
              ).value;
            const next = Float64Array.from({ length: H }, (_, u) => {
              c[u] = sigmoid(gate(H + u)) * c[u]! + sigmoid(gate(u)) * Math.tanh(gate(2 * H + u));
              return sigmoid(gate(3 * H + u)) * Math.tanh(c[u]!);
            });
            return (h = next);
          });
        }
        return places(frames * H).map((at) => ({
          at,
          value: elu(rows[Math.floor(at / H)]![at % H]! + X.at(at)),
          size: 8,
        }));
      },
    };
  };

  return [
    conv(T, 128, widest, 7),
    recurrent,
    upsampling(T, widest, 8),
    upsampling(T * 160, widest / 8, 2),
    conv(T * 8, widest / 2, widest / 4, 3, { elu: true, activate: true }),
    conv(T * 8, widest / 2, widest / 2, 1),
    conv(T * 320, filters, filters / 2, 3, { elu: true, activate: true }),
    conv(T * 320, filters, 1, 7),
  ];
}
