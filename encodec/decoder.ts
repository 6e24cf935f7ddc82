// EnCodec's decoder: codes (B, Q, T) → audio (B, T · hop). config → weights → forward; activations
// are channel-last (B, T, C), f32.
// Long clips are computed in slices of time, exactly: all layers behind the LSTM see a few frames
// to either side and no further. Reference: HF modeling_encodec.py, EncodecDecoder and
// EncodecResidualVectorQuantizer.decode; facebookresearch/encodec, arXiv 2210.13438.

import { codebookSum } from '../kernels/codebook_sum/codebook_sum.ts';
import { conv1d, type Conv1d, type Slice } from '../kernels/conv/conv1d.ts';
import { convTranspose1d, convTranspose1dTrim, type ConvTranspose1d } from '../kernels/conv/conv_transpose1d.ts';
import { lstm, type Lstm } from '../kernels/lstm/lstm.ts';
import type { Destination } from '../kernels/upload/destination.ts';
import type { Recorder } from '../runtime/compute/program.ts';
import { reshape, type Tensor } from '../runtime/compute/tensor.ts';
import type { Weights } from '../runtime/formats/weights.ts';
import { hopLength, type EncodecConfig } from './config.ts';
import { loadCodebooks, loadConv1d, loadConvTranspose1d, loadLstm } from './weights.ts';

/** x + its way through two convolutions, narrower in between. HF: EncodecResnetBlock. */
interface ResnetBlock {
  readonly narrow: Conv1d; // C → C / compress, residual_kernel_size, dilated
  readonly widen: Conv1d; // C / compress → C, kernel 1
  readonly shortcut: Conv1d | null; // C → C, kernel 1; null: x itself
}

interface Upsampling {
  readonly conv: ConvTranspose1d; // C → C / 2, stride ratio
  readonly blocks: readonly ResnetBlock[]; // num_residual_layers
}

export interface Decoder {
  readonly codebooks: Tensor; // (Q, codebook_size, hidden_size)
  readonly first: Conv1d; // hidden_size → C = num_filters · 2^ratios
  readonly lstm: Lstm; // num_lstm_layers, C wide
  readonly upsamplings: readonly Upsampling[]; // one per ratio; each halves C
  readonly last: Conv1d; // num_filters → audio_channels
}

/** Channels between the first convolution and the first upsampling. */
export const widest = (config: EncodecConfig): number => config.num_filters * 2 ** config.upsampling_ratios.length;

/**
 * Reads what decoding with the first `codebooks` codebooks needs. The module index counts every
 * layer of HF's list, ELUs included.
 */
export async function loadDecoder(
  to: Destination,
  config: EncodecConfig,
  w: Weights,
  codebooks: number,
): Promise<Decoder> {
  const layers = w.at('decoder.layers');
  const convOf = (inChannels: number, outChannels: number, kernelSize: number, dilation = 1) => ({
    inChannels,
    outChannels,
    kernelSize,
    stride: 1,
    dilation,
  });
  let channels = widest(config);
  const book = await loadCodebooks(
    to,
    w.at('quantizer'),
    codebooks,
    config.codebook_size,
    config.codebook_dim,
    'codebook_size and codebook_dim',
  );
  const first = await loadConv1d(
    to,
    layers.at('0'),
    convOf(config.hidden_size, channels, config.kernel_size),
    'hidden_size, num_filters and kernel_size',
  );
  const lstmLayers = await loadLstm(to, layers.at('1.lstm'), channels, config.num_lstm_layers, 'num_filters');
  const upsamplings: Upsampling[] = [];
  let index = 2;
  for (const ratio of config.upsampling_ratios) {
    index++; // ELU
    const trimLeft = convTranspose1dTrim(2 * ratio, ratio, config.use_causal_conv, config.trim_right_ratio);
    const sizes = { inChannels: channels, outChannels: channels / 2, kernelSize: 2 * ratio, stride: ratio, trimLeft };
    const conv = await loadConvTranspose1d(to, layers.at(`${index++}`), sizes, 'num_filters and upsampling_ratios');
    channels /= 2;
    const inner = Math.floor(channels / config.compress);
    const blocks: ResnetBlock[] = [];
    for (let j = 0; j < config.num_residual_layers; j++) {
      const block = layers.at(`${index++}`);
      blocks.push({
        narrow: await loadConv1d(
          to,
          block.at('block.1'),
          convOf(channels, inner, config.residual_kernel_size, config.dilation_growth_rate ** j),
          'compress and residual_kernel_size',
        ),
        widen: await loadConv1d(to, block.at('block.3'), convOf(inner, channels, 1), 'compress'),
        shortcut: config.use_conv_shortcut
          ? await loadConv1d(to, block.at('shortcut'), convOf(channels, channels, 1), 'num_filters')
          : null,
      });
    }
    upsamplings.push({ conv, blocks });
  }
  index++; // ELU
  const last = await loadConv1d(
    to,
    layers.at(`${index}`),
    convOf(channels, config.audio_channels, config.last_kernel_size),
    'num_filters and last_kernel_size',
  );
  return { codebooks: book, first, lstm: lstmLayers, upsamplings, last };
}

/** How many tensors `loadDecoder` puts. */
export function decoderTensors(config: EncodecConfig): number {
  const block = config.use_conv_shortcut ? 6 : 4;
  return 1 + 2 + 3 + config.upsampling_ratios.length * (2 + config.num_residual_layers * block) + 2;
}

export interface DecodeOptions {
  /**
   * Frames that the layers behind the LSTM see at once; default: as many as keep activations below
   * 32 MiB a tensor.
   */
  sliceFrames?: number;
  /**
   * For tests and research: given every stage's output (B, T', C) under HF's layer index, and
   * 'quantizer'; they then keep their memory. A layer that an ELU follows writes what that makes of
   * it, and has its index. With identity shortcuts a block writes over its input.
   */
  onStage?: (stage: string, value: Tensor) => void;
}

/**
 * Appends the decoding of codes (B, Q, T) u32; gives the audio (B, T · hop), from the recorder's
 * memory.
 */
export function decode(
  r: Recorder,
  config: EncodecConfig,
  w: Decoder,
  codes: Tensor,
  options: DecodeOptions = {},
): Tensor {
  const [batch, , frames] = codes.shape as readonly [number, number, number];
  const causal = config.use_causal_conv;
  const stages = stageKeeper(r, options);

  const embedded = r.temp([batch, frames, config.hidden_size], 'quantizer');
  codebookSum(r, embedded, codes, w.codebooks);
  stages.made(embedded, 'quantizer');
  const first = r.temp([batch, frames, widest(config)], 'first convolution');
  conv1d(r, first, embedded, w.first, { causal });
  stages.made(first, 0);
  stages.done(embedded);
  const x = r.temp(first.shape, 'lstm');
  lstm(r, x, first, w.lstm, { skip: true, activate: true });
  stages.made(x, 2);
  stages.done(first);

  const samples = frames * hopLength(config);
  const audio = r.temp([batch, samples, config.audio_channels], 'audio');
  for (const slice of slices(config, frames, options.sliceFrames ?? defaultSlice(r, config, batch))) {
    decodeSlice(r, config, w, audio, x, slice, stages);
  }
  stages.made(audio, 2 + w.upsamplings.reduce((count, { blocks }) => count + 2 + blocks.length, 0) + 1);
  stages.done(x);
  return reshape(audio, [batch, samples * config.audio_channels]);
}

/** From the LSTM's output to audio, for one slice of time. */
function decodeSlice(
  r: Recorder,
  config: EncodecConfig,
  w: Decoder,
  audio: Tensor,
  lstmOutput: Tensor,
  slice: PlannedSlice,
  stages: StageKeeper,
): void {
  const causal = config.use_causal_conv;
  const batch = audio.shape[0]!;
  let index = 2; // of the ELU that made x
  let from: Slice | undefined = slice.seen;
  let frames = slice.seen.count;
  let x = lstmOutput;
  for (const { conv, blocks } of w.upsamplings) {
    const end = index + 2 + blocks.length; // the ELU that follows
    frames *= conv.stride;
    const y = r.temp([batch, frames, conv.outChannels], 'upsampling');
    convTranspose1d(r, y, x, conv, { activate: blocks.length === 0, ...(from && { from }) });
    stages.made(y, blocks.length === 0 ? end : index + 1);
    if (!from) stages.done(x);
    from = undefined;
    x = y;
    for (const [j, block] of blocks.entries()) {
      const last = j === blocks.length - 1;
      const y = resnetBlock(r, x, block, causal, last);
      stages.made(y, last ? end : index + 2 + j);
      if (y !== x) stages.done(x);
      x = y;
    }
    index = end;
  }
  const hop = hopLength(config);
  conv1d(r, audio, x, w.last, {
    causal,
    into: { skip: (slice.start - slice.seen.start) * hop, start: slice.start * hop, count: slice.count * hop },
  });
  stages.done(x);
}

/** shortcut(x) + widen(elu(narrow(elu(x)))), or elu of that; without a shortcut in place of x. */
function resnetBlock(r: Recorder, x: Tensor, block: ResnetBlock, causal: boolean, activate: boolean): Tensor {
  const [batch, frames] = x.shape as readonly [number, number, number];
  const inner = r.temp([batch, frames, block.narrow.outChannels], 'residual block, inside');
  conv1d(r, inner, x, block.narrow, { causal, elu: true, activate: true });
  let y = x;
  if (block.shortcut) {
    y = r.temp(x.shape, 'residual block');
    conv1d(r, y, x, block.shortcut, { causal });
  }
  conv1d(r, y, inner, block.widen, { causal, residual: true, activate });
  r.free(inner);
  return y;
}

interface StageKeeper {
  made(value: Tensor, stage: string | number): void;
  done(value: Tensor): void;
}

function stageKeeper(r: Recorder, { onStage }: DecodeOptions): StageKeeper {
  if (!onStage) return { made: () => {}, done: (value) => r.free(value) };
  return { made: (value, stage) => onStage(`${stage}`, value), done: () => {} };
}

interface PlannedSlice extends Slice {
  /** What is computed so that frames start … start + count − 1 come out exact. */
  readonly seen: Slice;
}

const SLICE_BYTES = 2 ** 25;

/** Frames that one frame of audio depends on behind the LSTM, to either side, and a little more. */
function context(config: EncodecConfig): number {
  let rate = 1; // of the current layer, in its frames per frame of codes
  let frames = 0;
  for (const ratio of config.upsampling_ratios) {
    frames += 2 / rate;
    rate *= ratio;
    for (let j = 0; j < config.num_residual_layers; j++)
      frames += ((config.residual_kernel_size - 1) * config.dilation_growth_rate ** j) / rate;
  }
  return Math.ceil(frames + (config.last_kernel_size - 1) / rate);
}

/** Bytes of the largest activation behind the LSTM, for one frame of codes of one sentence. */
function bytesPerFrame(config: EncodecConfig): number {
  let rate = 1;
  const widths = config.upsampling_ratios.map((ratio, i) => (rate *= ratio) * (widest(config) / 2 ** (i + 1)));
  return 4 * Math.max(...widths);
}

function defaultSlice(r: Recorder, config: EncodecConfig, batch: number): number {
  const { maxStorageBufferBindingSize, maxBufferSize } = r.device.limits;
  return (
    Math.floor(Math.min(SLICE_BYTES, maxStorageBufferBindingSize, maxBufferSize) / (batch * bytesPerFrame(config))) -
    2 * context(config)
  );
}

/**
 * Frames 0 … frames − 1 in slices of at most `most` (but no shorter than what padding may reflect),
 * with what each must see around it.
 */
function slices(config: EncodecConfig, frames: number, most: number): PlannedSlice[] {
  const around = context(config);
  const parts = Math.max(1, Math.min(Math.ceil(frames / Math.max(1, most)), Math.floor(frames / (2 * around + 1))));
  return Array.from({ length: parts }, (_, i) => {
    const start = Math.floor((i * frames) / parts);
    const end = Math.floor(((i + 1) * frames) / parts);
    const from = Math.max(0, start - around);
    return { start, count: end - start, seen: { start: from, count: Math.min(frames, end + around) - from } };
  });
}
