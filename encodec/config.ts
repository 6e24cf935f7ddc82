// The codec's part of config.json, as types: keys keep their spelling, missing keys get the
// reference's defaults.
// It holds what coding at one sampling rate needs. Of the keys of the 48 kHz model, `normalize` and
// a second channel are refused, and those of its chunks are not read.
// Reference: HF EncodecConfig; facebookresearch/encodec, arXiv 2210.13438.

import { UnsupportedError } from '../runtime/base/errors.ts';
import { bad, boolean, integer, isNull, number, numbers, parsedJson, show, text } from '../runtime/base/json.ts';

export type PadMode = 'reflect';

export interface EncodecConfig {
  /** Hz. */
  sampling_rate: number;
  audio_channels: 1;
  normalize: false;
  /** Channels between quantizer and decoder. */
  hidden_size: number;
  /**
   * Channels of the layer next to the waveform; each upsampling step before it has twice as many.
   */
  num_filters: number;
  num_residual_layers: number;
  /** Strides of the transposed convolutions; their product is the samples of one frame. */
  upsampling_ratios: number[];
  norm_type: 'weight_norm';
  kernel_size: number;
  last_kernel_size: number;
  residual_kernel_size: number;
  dilation_growth_rate: number;
  use_causal_conv: boolean;
  pad_mode: PadMode;
  /** Inside a residual block there are `compress` times fewer channels. */
  compress: number;
  num_lstm_layers: number;
  /** Share of a transposed convolution's overhang that is cut from its right end. */
  trim_right_ratio: number;
  codebook_size: number;
  codebook_dim: number;
  use_conv_shortcut: boolean;
  /** kbit/s, ascending; the number of codebooks follows from the last one. */
  target_bandwidths: number[];
}

const PAD_MODES: readonly string[] = ['reflect'] satisfies PadMode[];
const HF_PAD_MODES = ['constant', 'reflect', 'replicate', 'circular'];
const SIZE_LIMIT = 2 ** 16; // far above any codec; keeps a mistyped size from becoming an allocation

export const EncodecConfig = {
  /**
   * Reads `codec_config` of a Bark checkpoint, or the config.json of an EnCodec one.
   * Throws `WeightsError` for an impossible value, and `UnsupportedError` for a value that this
   * library does not support.
   */
  fromJSON(json: unknown, given?: string, path = ''): EncodecConfig {
    const from = parsedJson('EncodecConfig.fromJSON', json, given, 'config.json', path);
    const { label } = from;
    const size = (key: string, fallback: number, min = 1) =>
      integer(from, key, { default: fallback, min, max: SIZE_LIMIT });
    const only = <T>(key: string, value: unknown, supported: T): T => {
      if (value === supported) return supported;
      throw new UnsupportedError(
        `${label}: ${path && `${path}.`}${key} is ${show(value)}, expected ${show(supported)}: this library has no other. Use an EnCodec 24 kHz model.`,
      );
    };

    only('model_type', text(from, 'model_type', { default: 'encodec' }), 'encodec');
    const hidden_size = size('hidden_size', 128);
    const pad_mode = text(from, 'pad_mode', { default: 'reflect', among: HF_PAD_MODES });
    if (!PAD_MODES.includes(pad_mode)) only('pad_mode', pad_mode, 'reflect');
    const config: EncodecConfig = {
      sampling_rate: integer(from, 'sampling_rate', { default: 24_000, min: 1, max: 768_000 }),
      audio_channels: only('audio_channels', size('audio_channels', 1), 1),
      normalize: only('normalize', boolean(from, 'normalize', { default: false }), false),
      hidden_size,
      num_filters: size('num_filters', 32),
      num_residual_layers: size('num_residual_layers', 1, 0),
      upsampling_ratios: numbers(from, 'upsampling_ratios', {
        default: [8, 5, 4, 2],
        min: 1,
        max: SIZE_LIMIT,
        whole: true,
      }),
      norm_type: only(
        'norm_type',
        text(from, 'norm_type', { default: 'weight_norm', among: ['weight_norm', 'time_group_norm'] }),
        'weight_norm',
      ),
      kernel_size: size('kernel_size', 7),
      last_kernel_size: size('last_kernel_size', 7),
      residual_kernel_size: size('residual_kernel_size', 3),
      dilation_growth_rate: size('dilation_growth_rate', 2),
      use_causal_conv: boolean(from, 'use_causal_conv', { default: true }),
      pad_mode: pad_mode as PadMode,
      compress: size('compress', 2),
      num_lstm_layers: size('num_lstm_layers', 2),
      trim_right_ratio: number(from, 'trim_right_ratio', { default: 1, min: 0, max: 1 }),
      codebook_size: size('codebook_size', 1024),
      codebook_dim: isNull(from, 'codebook_dim') ? hidden_size : size('codebook_dim', hidden_size),
      use_conv_shortcut: boolean(from, 'use_conv_shortcut', { default: true }),
      target_bandwidths: numbers(from, 'target_bandwidths', { default: [1.5, 3, 6, 12, 24], min: 0 }),
    };

    if (config.codebook_dim !== hidden_size)
      throw bad(
        from,
        'codebook_dim',
        config.codebook_dim,
        `hidden_size (${hidden_size}): the decoder reads what the codebooks hold`,
      );
    if (config.compress > config.num_filters)
      throw bad(from, 'compress', config.compress, `at most num_filters (${config.num_filters})`);
    if (!config.use_causal_conv && config.trim_right_ratio !== 1)
      throw bad(from, 'trim_right_ratio', config.trim_right_ratio, '1 when use_causal_conv is false');
    if (config.upsampling_ratios.length > 16)
      throw bad(from, 'upsampling_ratios', config.upsampling_ratios, 'at most 16 ratios');
    return config;
  },
};

/** Number of samples that one frame of codes becomes. */
export function hopLength(config: EncodecConfig): number {
  return config.upsampling_ratios.reduce((product, ratio) => product * ratio, 1);
}

/** Number of codebooks that the checkpoint stores. */
export function numQuantizers(config: EncodecConfig): number {
  const frameRate = Math.ceil(config.sampling_rate / hopLength(config));
  const bits = Math.ceil(Math.log2(config.codebook_size));
  return Math.floor((1000 * config.target_bandwidths.at(-1)!) / (frameRate * bits));
}
