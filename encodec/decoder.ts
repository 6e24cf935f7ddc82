// EnCodec's decoder: codes (B, Q, T) → audio (B, T · hop). Reads top to bottom: weights, forward,
// and how long clips are sliced. Activations are channel-last (B, T, C), f32.
// codebookSum → conv1d → lstm → [convTranspose1d → residual blocks] per ratio → conv1d; ELUs are
// part of the kernel before or after them.
// After the LSTM long clips are computed in slices of time, and the result is exact: a layer there
// depends on a few frames to either side and no further.
// Reference: HF modeling_encodec.py, EncodecDecoder and EncodecResidualVectorQuantizer.decode;
// facebookresearch/encodec, arXiv 2210.13438.

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

/** shortcut(x) + widen(elu(narrow(elu(x)))). HF: EncodecResnetBlock. */
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
 * Loads what decoding with the first `codebooks` codebooks needs. HF's layer index counts every
 * module of its list, ELUs included.
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

/** Number of times `loadDecoder` calls `to.arrived()`; the total for the progress bar. */
export function decoderTensors(config: EncodecConfig): number {
  const block = config.use_conv_shortcut ? 6 : 4;
  return 1 + 2 + 3 + config.upsampling_ratios.length * (2 + config.num_residual_layers * block) + 2;
}

export interface DecodeOptions {
  /**
   * Frames of codes in one slice of the layers after the LSTM. Default: as many as keep every
   * activation below 32 MiB.
   */
  sliceFrames?: number;
  /**
   * For tests and research: called with the output (B, T', C) of every layer, under HF's layer
   * index or 'quantizer'; these tensors then keep their memory. Where an ELU follows, the kernel
   * applies it at once, and the output has the ELU's index. Blocks with identity shortcuts
   * overwrite their input.
   */
  onStage?: (stage: string, value: Tensor) => void;
}

/**
 * Records the decoding of codes (B, Q, T) u32. Returns the audio (B, T · hop), in the recorder's
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

/** Records the layers after the LSTM for one slice of time. */
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
  let index = 2; // HF's index of the ELU that made x
  let from: Slice | undefined = slice.seen;
  let frames = slice.seen.count;
  let x = lstmOutput;
  for (const { conv, blocks } of w.upsamplings) {
    const end = index + 2 + blocks.length; // HF's index of the ELU that follows
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

/**
 * shortcut(x) + widen(elu(narrow(elu(x)))), with `activate` its elu. Without a shortcut, in place.
 */
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
  /** The frames that must be computed so that start … start + count − 1 are exact. */
  readonly seen: Slice;
}

const SLICE_BYTES = 2 ** 25;

/** Frames to either side that audio depends on after the LSTM, rounded up generously. */
function context(config: EncodecConfig): number {
  let rate = 1; // frames of the current layer per frame of codes
  let frames = 0;
  for (const ratio of config.upsampling_ratios) {
    frames += 2 / rate;
    rate *= ratio;
    for (let j = 0; j < config.num_residual_layers; j++)
      frames += ((config.residual_kernel_size - 1) * config.dilation_growth_rate ** j) / rate;
  }
  return Math.ceil(frames + (config.last_kernel_size - 1) / rate);
}

/** Bytes of the largest activation after the LSTM, for one frame of codes of one sentence. */
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
 * Splits frames 0 … frames − 1 into slices of at most `most` frames, each with the frames that it
 * must see around it. A slice is never shorter than what reflecting padding needs.
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
