// y = convTranspose(act(x)) + bias over channel-last (B, T, C) f32 activations, trimmed to T ·
// stride frames as HF EncodecConvTranspose1d does it. torch: nn.ConvTranspose1d (groups 1, no
// output padding). One product over the few input frames that reach `stride` output frames.

import { ShapeError } from '../../runtime/base/errors.ts';
import type { Recorder } from '../../runtime/compute/program.ts';
import type { Tensor } from '../../runtime/compute/tensor.ts';
import { checkConv, dispatchConv, padTo4, type Conv1d, type ConvOptions } from './conv1d.ts';

export interface ConvTranspose1d extends Pick<Conv1d, 'weight' | 'bias' | 'inChannels' | 'outChannels'> {
  // weight (taps · inChannels, padTo4(stride · outChannels)), columns (phase, channel):
  // packConvTranspose1d; bias (stride · outChannels): repeated
  readonly kernelSize: number;
  readonly stride: number;
  /** Frames cut from the front of the full result; the weight is packed for it. */
  readonly trimLeft: number;
}

/**
 * Frames that HF cuts from the front of the (T − 1) · stride + kernelSize that a transposed
 * convolution gives.
 */
export function convTranspose1dTrim(kernelSize: number, stride: number, causal = true, trimRightRatio = 1): number {
  const total = kernelSize - stride;
  if (total < 0)
    throw new ShapeError(
      `convTranspose1d: got kernel ${kernelSize} and stride ${stride}, expected a kernel as long as its stride.`,
    );
  return total - (causal ? Math.ceil(total * trimRightRatio) : Math.floor(total / 2));
}

/**
 * Input frames q + first … q + first + taps − 1 reach output frames q · stride … (q + 1) · stride −
 * 1.
 */
function reach({ kernelSize, stride, trimLeft }: Pick<ConvTranspose1d, 'kernelSize' | 'stride' | 'trimLeft'>): {
  first: number;
  taps: number;
} {
  const first = Math.ceil((trimLeft - (kernelSize - 1)) / stride);
  return { first, taps: Math.floor((stride - 1 + trimLeft) / stride) - first + 1 };
}

/** Rows of the packed weight: terms of one output. */
export const convTranspose1dDepth = (
  conv: Pick<ConvTranspose1d, 'kernelSize' | 'stride' | 'trimLeft' | 'inChannels'>,
): number => reach(conv).taps * conv.inChannels;

/**
 * torch's (inChannels, outChannels, kernelSize) as the kernel reads it: (taps · inChannels,
 * padTo4(stride · outChannels)).
 */
export function packConvTranspose1d(
  weight: Float32Array,
  conv: Omit<ConvTranspose1d, 'weight' | 'bias'>,
): Float32Array<ArrayBuffer> {
  const { inChannels, outChannels, kernelSize, stride, trimLeft } = conv;
  const { first, taps } = reach(conv);
  const pitch = padTo4(stride * outChannels);
  const packed = new Float32Array(taps * inChannels * pitch);
  for (let phase = 0; phase < stride; phase++) {
    for (let tap = 0; tap < taps; tap++) {
      // frame i of x reaches frames i · stride + k of the full result
      const k = phase + trimLeft - (first + tap) * stride;
      if (k < 0 || k >= kernelSize) continue;
      for (let o = 0; o < outChannels; o++) {
        const at = tap * inChannels * pitch + phase * outChannels + o;
        for (let c = 0; c < inChannels; c++) packed[at + c * pitch] = weight[(c * outChannels + o) * kernelSize + k]!;
      }
    }
  }
  return packed;
}

/** torch's bias (outChannels) for each of the `stride` frames of a row. */
export function packConvTranspose1dBias(bias: Float32Array, stride: number): Float32Array<ArrayBuffer> {
  return Float32Array.from({ length: stride * bias.length }, (_, i) => bias[i % bias.length]!);
}

/**
 * y (B, T · stride, outChannels) = convTranspose(x (B, T, inChannels)), T the frames of `from`
 * where it is given. y must not be x.
 */
export function convTranspose1d(
  r: Recorder,
  y: Tensor,
  x: Tensor,
  conv: ConvTranspose1d,
  options: Omit<ConvOptions, 'causal'> = {},
): void {
  const n = conv.stride * conv.outChannels;
  const k = convTranspose1dDepth(conv);
  const from = checkConv('convTranspose1d', y, x, conv, k, n, options.from);
  const rows = from.count;
  if (y.shape[1] !== rows * conv.stride)
    throw new ShapeError(`convTranspose1d: y (${y.label}) has ${y.shape[1]} frames, expected ${rows * conv.stride}.`);
  dispatchConv(r, 'conv_transpose1d', y, x, conv, {
    rows,
    k,
    n,
    from,
    left: -reach(conv).first,
    mirror: 0,
    stride: 1,
    dilation: 1,
    yRows: rows,
    yStart: 0,
    skip: 0,
    elu: options.elu,
    residual: false,
    activate: options.activate,
    variant: options.variant,
  });
}
