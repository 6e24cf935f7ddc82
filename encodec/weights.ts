// Reads a codec's tensors one by one, folds weight norm, packs them as the kernels read them and puts them on the GPU. They are small
// (30 MB for EnCodec 24 kHz), so this happens on the CPU, in f64, and the codec stays f32 in every mode. Which tensors there are is decoder.ts's.
// Reference: torch.nn.utils.weight_norm (dim 0); Salimans & Kingma, arXiv 1602.07868.

import { packConv1d, padTo4, type Conv1d } from '../kernels/conv1d.ts';
import { convTranspose1dDepth, packConvTranspose1d, packConvTranspose1dBias, type ConvTranspose1d } from '../kernels/conv_transpose1d.ts';
import { packLstm, type LstmLayer } from '../kernels/lstm.ts';
import type { Device } from '../runtime/device.ts';
import type { Owner } from '../runtime/memory.ts';
import type { LoadProgress } from '../runtime/resident.ts';
import type { Tensor } from '../runtime/tensor.ts';
import { readFloat32, type Weights } from '../runtime/weights.ts';

/** Puts tensors on a device, booked to `owner`. */
export class Uploads {
  readonly device: Device;
  readonly #owner: Owner;
  readonly #progress: LoadProgress;

  constructor(device: Device, owner: Owner, progress: LoadProgress = {}) {
    this.device = device;
    this.#owner = owner;
    this.#progress = progress;
  }

  /** A new f32 tensor of this content; throws the signal's reason once it is aborted. */
  put(shape: readonly number[], data: Float32Array | readonly Float32Array[], label: string): Tensor {
    this.#progress.signal?.throwIfAborted();
    const t = this.device.createTensor(shape, 'f32', this.#owner, label);
    let at = 0;
    for (const part of data instanceof Float32Array ? [data] : data) {
      this.device.write(t, part, at);
      at += part.byteLength;
    }
    this.#progress.onTensor?.();
    return t;
  }
}

/** The weight of a convolution at `w`, of torch's `shape` (D0, D1, kernel): folded, or g · v / ‖v‖ over all dimensions but the first. */
export async function foldedWeight(w: Weights, shape: readonly [number, number, number], hint: string): Promise<Float32Array> {
  const spelling = w.either('weight_g', 'parametrizations.weight.original0', 'weight');
  if (spelling === 'weight') return readFloat32(w.tensor('weight', shape, hint));
  const [rows, ...rest] = shape;
  const columns = rest[0] * rest[1];
  const g = await readFloat32(w.tensor(spelling, [rows, 1, 1], hint));
  const v = await readFloat32(w.tensor(spelling === 'weight_g' ? 'weight_v' : 'parametrizations.weight.original1', shape, hint));
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

/** EncodecConv1d at `w`: conv.weight (outChannels, inChannels, kernelSize), conv.bias (outChannels). */
export async function loadConv1d(to: Uploads, w: Weights, conv: Omit<Conv1d, 'weight' | 'bias'>, hint: string): Promise<Conv1d> {
  const { inChannels, outChannels, kernelSize } = conv;
  const weight = packConv1d(await foldedWeight(w.at('conv'), [outChannels, inChannels, kernelSize], hint), outChannels, inChannels, kernelSize);
  const bias = await readFloat32(w.tensor('conv.bias', [outChannels], hint));
  return {
    ...conv,
    weight: to.put([kernelSize * inChannels, padTo4(outChannels)], weight, `${w.path}.conv.weight`),
    bias: to.put([outChannels], bias, `${w.path}.conv.bias`),
  };
}

/** EncodecConvTranspose1d at `w`: conv.weight (inChannels, outChannels, kernelSize), conv.bias (outChannels). */
export async function loadConvTranspose1d(to: Uploads, w: Weights, conv: Omit<ConvTranspose1d, 'weight' | 'bias'>, hint: string): Promise<ConvTranspose1d> {
  const { inChannels, outChannels, kernelSize, stride } = conv;
  const weight = packConvTranspose1d(await foldedWeight(w.at('conv'), [inChannels, outChannels, kernelSize], hint), conv);
  const bias = packConvTranspose1dBias(await readFloat32(w.tensor('conv.bias', [outChannels], hint)), stride);
  return {
    ...conv,
    weight: to.put([convTranspose1dDepth(conv), padTo4(stride * outChannels)], weight, `${w.path}.conv.weight`),
    bias: to.put([stride * outChannels], bias, `${w.path}.conv.bias`),
  };
}

/** torch.nn.LSTM at `w`: weight_ih_l{n} and weight_hh_l{n} (4H, H), bias_ih_l{n} and bias_hh_l{n} (4H). */
export async function loadLstm(to: Uploads, w: Weights, size: number, layers: number, hint: string): Promise<LstmLayer[]> {
  const loaded: LstmLayer[] = [];
  for (let n = 0; n < layers; n++) {
    const read = (name: string, ...shape: number[]) => readFloat32(w.tensor(`${name}_l${n}`, shape, hint));
    const packed = packLstm(
      size,
      await read('weight_ih', 4 * size, size),
      await read('weight_hh', 4 * size, size),
      await read('bias_ih', 4 * size),
      await read('bias_hh', 4 * size),
    );
    loaded.push({
      input: to.put([size, 4 * size], packed.input, `${w.path}.weight_ih_l${n}`),
      bias: to.put([4 * size], packed.bias, `${w.path}.bias_l${n}`),
      hidden: to.put([padTo4(size), 4 * size], packed.hidden, `${w.path}.weight_hh_l${n}`),
    });
  }
  return loaded;
}

/** The first `count` codebooks of EncodecResidualVectorQuantizer at `w`, stacked: (count, size, width). */
export async function loadCodebooks(to: Uploads, w: Weights, count: number, size: number, width: number, hint: string): Promise<Tensor> {
  const books: Float32Array[] = [];
  for (let q = 0; q < count; q++) books.push(await readFloat32(w.tensor(`layers.${q}.codebook.embed`, [size, width], hint)));
  return to.put([count, size, width], books, `${w.path}.codebooks`);
}
