// Loads the codec's layers: reads their tensors one by one, folds weight norm and packs them as the
// kernels read them. They are small (30 MB for EnCodec 24 kHz), so the host does it, in f64, and
// the codec is f32 in every mode. decoder.ts knows which layers there are.
// Reference: torch.nn.utils.weight_norm (dim 0); Salimans & Kingma, arXiv 1602.07868.

import { columnsShape, packConv1d, type Conv1d } from '../kernels/conv/conv1d.ts';
import {
  convTranspose1dDepth,
  packConvTranspose1d,
  packConvTranspose1dBias,
  type ConvTranspose1d,
} from '../kernels/conv/conv_transpose1d.ts';
import { packLstm, recurrentLength, type Lstm, type LstmLayer } from '../kernels/lstm/lstm.ts';
import type { Destination, Packed } from '../kernels/upload/destination.ts';
import type { Tensor } from '../runtime/compute/tensor.ts';
import { readFloat32, type Weights } from '../runtime/formats/weights.ts';

/** Packs one more tensor of the decoder, f32, and counts it for the progress bar. */
async function put(to: Destination, shape: readonly number[], pack: () => Promise<Packed>, label: string) {
  const tensor = await to.packed(shape, pack, label);
  to.arrived();
  return tensor;
}

/**
 * The weight of a convolution at `w`, in torch's `shape` (D0, D1, kernel): as it is stored, or with
 * weight norm folded in, g · v / ‖v‖ with the norm over all dimensions but the first.
 */
export async function foldedWeight(
  w: Weights,
  shape: readonly [number, number, number],
  hint: string,
): Promise<Float32Array> {
  const spelling = w.either('weight_g', 'parametrizations.weight.original0', 'weight');
  if (spelling === 'weight') return readFloat32(w.tensor('weight', shape, hint));
  const [rows, ...rest] = shape;
  const columns = rest[0] * rest[1];
  const g = await readFloat32(w.tensor(spelling, [rows, 1, 1], hint));
  const v = await readFloat32(
    w.tensor(spelling === 'weight_g' ? 'weight_v' : 'parametrizations.weight.original1', shape, hint),
  );
  const folded = new Float32Array(v.length);
  for (let row = 0; row < rows; row++) {
    const from = row * columns;
    let squares = 0;
    for (let i = from; i < from + columns; i++) squares += v[i]! * v[i]!;
    const scale = g[row]! / Math.sqrt(squares);
    for (let i = from; i < from + columns; i++) folded[i] = v[i]! * scale;
  }
  return folded;
}

/**
 * EncodecConv1d at `w`: conv.weight (outChannels, inChannels, kernelSize), conv.bias (outChannels).
 */
export async function loadConv1d(
  to: Destination,
  w: Weights,
  conv: Omit<Conv1d, 'weight' | 'bias'>,
  hint: string,
): Promise<Conv1d> {
  const { inChannels, outChannels, kernelSize } = conv;
  const weight = async () =>
    packConv1d(
      await foldedWeight(w.at('conv'), [outChannels, inChannels, kernelSize], hint),
      outChannels,
      inChannels,
      kernelSize,
      to.kind,
    );
  const bias = () => readFloat32(w.tensor('conv.bias', [outChannels], hint));
  return {
    ...conv,
    weight: await put(to, columnsShape(kernelSize * inChannels, outChannels, to.kind), weight, `${w.path}.conv.weight`),
    bias: await put(to, [outChannels], bias, `${w.path}.conv.bias`),
  };
}

/**
 * EncodecConvTranspose1d at `w`: conv.weight (inChannels, outChannels, kernelSize), conv.bias
 * (outChannels).
 */
export async function loadConvTranspose1d(
  to: Destination,
  w: Weights,
  conv: Omit<ConvTranspose1d, 'weight' | 'bias'>,
  hint: string,
): Promise<ConvTranspose1d> {
  const { inChannels, outChannels, kernelSize, stride } = conv;
  const weight = async () =>
    packConvTranspose1d(await foldedWeight(w.at('conv'), [inChannels, outChannels, kernelSize], hint), conv, to.kind);
  const bias = async () =>
    packConvTranspose1dBias(await readFloat32(w.tensor('conv.bias', [outChannels], hint)), stride);
  return {
    ...conv,
    weight: await put(
      to,
      columnsShape(convTranspose1dDepth(conv), stride * outChannels, to.kind),
      weight,
      `${w.path}.conv.weight`,
    ),
    bias: await put(to, [stride * outChannels], bias, `${w.path}.conv.bias`),
  };
}

/**
 * torch.nn.LSTM at `w`: weight_ih_l{n} and weight_hh_l{n} (4H, H), bias_ih_l{n} and bias_hh_l{n}
 * (4H).
 */
export async function loadLstm(to: Destination, w: Weights, size: number, layers: number, hint: string): Promise<Lstm> {
  const pack = async () => {
    const read: LstmLayer[] = [];
    for (let n = 0; n < layers; n++) {
      const part = (name: string, ...shape: number[]) => readFloat32(w.tensor(`${name}_l${n}`, shape, hint));
      read.push({
        weightIh: await part('weight_ih', 4 * size, size),
        weightHh: await part('weight_hh', 4 * size, size),
        biasIh: await part('bias_ih', 4 * size),
        biasHh: await part('bias_hh', 4 * size),
      });
    }
    return packLstm(size, read, to.kind);
  };
  let packing: ReturnType<typeof pack> | undefined;
  const packed = (part: 'input' | 'bias' | 'recurrent') => async () => (await (packing ??= pack()))[part];
  return {
    size,
    layers,
    input: await put(to, columnsShape(size, 4 * size, to.kind), packed('input'), `${w.path}.weight_ih_l0`),
    bias: await put(to, [4 * size], packed('bias'), `${w.path}.bias_l0`),
    recurrent: await put(to, [recurrentLength(size, layers, to.kind)], packed('recurrent'), `${w.path}.weight_hh_l*`),
  };
}

/**
 * The first `count` codebooks of EncodecResidualVectorQuantizer at `w`, stacked: (count, size,
 * width).
 */
export async function loadCodebooks(
  to: Destination,
  w: Weights,
  count: number,
  size: number,
  width: number,
  hint: string,
): Promise<Tensor> {
  const books = async () => {
    const read: Float32Array[] = [];
    for (let q = 0; q < count; q++)
      read.push(await readFloat32(w.tensor(`layers.${q}.codebook.embed`, [size, width], hint)));
    return read;
  };
  return put(to, [count, size, width], books, `${w.path}.codebooks`);
}
