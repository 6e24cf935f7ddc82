// EnCodec's decoder in f64, as plain loops over the weights that the model loads; audio is compared
// with it. Eight frames are enough: the decoder is causal and its padding at the front reflects six
// frames, so a long clip begins exactly like a clip of its first eight frames.

import type { EncodecConfig } from '../../encodec/config.ts';
import { foldedWeight } from '../../encodec/weights.ts';
import { readFloat32, type Weights } from '../../runtime/formats/weights.ts';
import { conv1d, convTranspose1d } from '../../kernels/conv/reference.ts';
import { lstm } from '../../kernels/lstm/reference.ts';
import { codebookSum } from '../../kernels/codebook_sum/reference.ts';

/** Frames that `checkAudio` computes. */
const CHECKED_FRAMES = 8;

/** Samples of codes (Q, T), row-major. */
async function decodeReference(
  w: Weights,
  config: EncodecConfig,
  codes: ArrayLike<number>,
  codebooks: number,
  T: number,
): Promise<Float64Array> {
  const layers = w.at('decoder.layers');
  const {
    hidden_size,
    codebook_size,
    num_filters,
    kernel_size,
    last_kernel_size,
    residual_kernel_size,
    upsampling_ratios,
  } = config;
  const conv = async (
    name: string,
    x: ArrayLike<number>,
    frames: number,
    inChannels: number,
    outChannels: number,
    kernelSize: number,
    elu = false,
  ): Promise<Float64Array> => {
    const at = layers.at(`${name}.conv`);
    const bias = await readFloat32(at.tensor('bias', [outChannels]));
    return conv1d(x, await foldedWeight(at, [outChannels, inChannels, kernelSize], ''), bias, {
      batch: 1,
      frames,
      inChannels,
      outChannels,
      kernelSize,
      stride: 1,
      elu,
    }).data;
  };
  const table = new Float32Array(codebooks * codebook_size * hidden_size);
  for (let q = 0; q < codebooks; q++)
    table.set(
      await readFloat32(w.tensor(`quantizer.layers.${q}.codebook.embed`, [codebook_size, hidden_size])),
      q * codebook_size * hidden_size,
    );
  let channels = num_filters * 2 ** upsampling_ratios.length;
  let x: Float64Array = await conv(
    '0',
    codebookSum(codes, table, 1, codebooks, T, codebook_size, hidden_size),
    T,
    hidden_size,
    channels,
    kernel_size,
  );
  const skip = x;
  for (let l = 0; l < config.num_lstm_layers; l++) {
    const part = (name: string, shape: number[]) => readFloat32(layers.at('1.lstm').tensor(`${name}_l${l}`, shape));
    const [H, G] = [channels, 4 * channels];
    x = lstm(
      x,
      {
        weightIh: await part('weight_ih', [G, H]),
        weightHh: await part('weight_hh', [G, H]),
        biasIh: await part('bias_ih', [G]),
        biasHh: await part('bias_hh', [G]),
      },
      1,
      T,
      channels,
    );
  }
  x = x.map((v, i) => v + skip[i]!);
  let frames = T;
  for (const [i, stride] of upsampling_ratios.entries()) {
    const at = layers.at(`${3 * i + 3}.conv`);
    const weight = await foldedWeight(at, [channels, channels / 2, 2 * stride], '');
    const bias = await readFloat32(at.tensor('bias', [channels / 2]));
    x = convTranspose1d(x, weight, bias, {
      batch: 1,
      frames,
      inChannels: channels,
      outChannels: channels / 2,
      kernelSize: 2 * stride,
      stride,
      elu: true,
    });
    channels /= 2;
    frames *= stride;
    const block = `${3 * i + 4}`;
    const narrow = await conv(`${block}.block.1`, x, frames, channels, channels / 2, residual_kernel_size, true);
    const wide = await conv(`${block}.block.3`, narrow, frames, channels / 2, channels, 1, true);
    const shortcut = await conv(`${block}.shortcut`, x, frames, channels, channels, 1);
    x = wide.map((v, j) => v + shortcut[j]!);
  }
  return conv(`${3 * upsampling_ratios.length + 3}`, x, frames, channels, 1, last_kernel_size, true);
}

/**
 * Compares the first frames of `audio` with codes (Q, T) decoded in f64. Returns the largest error
 * relative to the loudest sample; throws if it is above 1e-4.
 */
export async function checkAudio(
  w: Weights,
  config: EncodecConfig,
  audio: Float32Array,
  codes: Int32Array,
  codebooks: number,
): Promise<number> {
  const T = codes.length / codebooks;
  const frames = Math.min(CHECKED_FRAMES, T);
  const first = Array.from({ length: codebooks * frames }, (_, i) => codes[Math.floor(i / frames) * T + (i % frames)]!);
  const expected = await decodeReference(w, config, first, codebooks, frames);
  const loudest = expected.reduce((most, v) => Math.max(most, Math.abs(v)), 0);
  let worst = 0;
  for (const [i, value] of expected.entries()) {
    const error = Math.abs(audio[i]! - value) / loudest;
    if (!(error <= 1e-4))
      throw new Error(`codec: got sample ${audio[i]} at ${i}, expected ${value} ± ${1e-4 * loudest}.`);
    worst = Math.max(worst, error);
  }
  return worst;
}

/** Floating-point operations of decoding a frame. */
export function flopsPerFrame(config: EncodecConfig): number {
  const {
    hidden_size,
    num_filters,
    kernel_size,
    last_kernel_size,
    residual_kernel_size,
    upsampling_ratios,
    num_lstm_layers,
  } = config;
  let channels = num_filters * 2 ** upsampling_ratios.length;
  let flops = 2 * hidden_size * channels * kernel_size + num_lstm_layers * 16 * channels * channels;
  let rate = 1;
  for (const stride of upsampling_ratios) {
    flops += 2 * rate * channels * (channels / 2) * 2 * stride;
    channels /= 2;
    rate *= stride;
    flops +=
      2 * rate * ((channels * channels * residual_kernel_size) / 2 + (channels * channels) / 2 + channels * channels);
  }
  return flops + 2 * rate * channels * last_kernel_size;
}
