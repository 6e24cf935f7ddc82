// y = convTranspose(act(x)) + bias over channel-last (B, T, C) f32 activations, trimmed to T ·
// stride frames as in HF's EncodecConvTranspose1d. torch: nn.ConvTranspose1d (groups 1, no output
// padding).
// Each `stride` consecutive output frames depend on the same few input frames (taps), so the whole
// is a convolution over these taps with stride · outChannels outputs.

import { ShapeError } from '../../runtime/base/errors.ts';
import type { BackendKind } from '../../runtime/compute/backend.ts';
import type { Recorder } from '../../runtime/compute/program.ts';
import type { Tensor } from '../../runtime/compute/tensor.ts';
import { checkConv, dispatchConv, ordered, padTo4, type Conv1d, type ConvOptions } from './conv1d.ts';

export interface ConvTranspose1d extends Pick<Conv1d, 'weight' | 'bias' | 'inChannels' | 'outChannels'> {
  // weight: (taps · inChannels, stride · outChannels, padded) f32, columns are (phase, channel):
  // packConvTranspose1d. bias: (stride · outChannels) f32, repeated for each phase.
  readonly kernelSize: number;
  readonly stride: number;
  /** Frames cut from the front of the full result. The packed weight depends on it. */
  readonly trimLeft: number;
}

/**
 * Number of frames that HF cuts from the front of a transposed convolution's (T − 1) · stride +
 * kernelSize frames. Throws ShapeError for a kernel shorter than its stride.
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
 * Output frames q · stride … (q + 1) · stride − 1 depend on input frames q + first … q + first +
 * taps − 1.
 */
function reach({ kernelSize, stride, trimLeft }: Pick<ConvTranspose1d, 'kernelSize' | 'stride' | 'trimLeft'>): {
  first: number;
  taps: number;
} {
  const first = Math.ceil((trimLeft - (kernelSize - 1)) / stride);
  return { first, taps: Math.floor((stride - 1 + trimLeft) / stride) - first + 1 };
}

/** Rows of the packed weight, which are the terms of one output. */
export const convTranspose1dDepth = (
  conv: Pick<ConvTranspose1d, 'kernelSize' | 'stride' | 'trimLeft' | 'inChannels'>,
): number => reach(conv).taps * conv.inChannels;

/**
 * Rearranges torch's weight (inChannels, outChannels, kernelSize) to the layout of
 * `ConvTranspose1d.weight`: (taps · inChannels, padTo4(stride · outChannels)), `ordered` for a
 * device of this kind.
 */
export function packConvTranspose1d(
  weight: Float32Array,
  conv: Omit<ConvTranspose1d, 'weight' | 'bias'>,
  kind: BackendKind = 'webgpu',
): Float32Array<ArrayBuffer> {
  const { inChannels, outChannels, kernelSize, stride, trimLeft } = conv;
  const { first, taps } = reach(conv);
  const pitch = padTo4(stride * outChannels);
  const packed = new Float32Array(taps * inChannels * pitch);
  for (let phase = 0; phase < stride; phase++) {
    for (let tap = 0; tap < taps; tap++) {
      // input frame i contributes to frames i · stride + k of the full result
      const k = phase + trimLeft - (first + tap) * stride;
      if (k < 0 || k >= kernelSize) continue;
      for (let o = 0; o < outChannels; o++) {
        const at = tap * inChannels * pitch + phase * outChannels + o;
        for (let c = 0; c < inChannels; c++) packed[at + c * pitch] = weight[(c * outChannels + o) * kernelSize + k]!;
      }
    }
  }
  return ordered(packed, taps * inChannels, stride * outChannels, kind);
}

/** torch's bias (outChannels), repeated for each of the `stride` phases. */
export function packConvTranspose1dBias(bias: Float32Array, stride: number): Float32Array<ArrayBuffer> {
  return Float32Array.from({ length: stride * bias.length }, (_, i) => bias[i % bias.length]!);
}

/**
 * y (B, T · stride, outChannels) = convTranspose(x (B, T, inChannels)), f32; with `from`, T is the
 * number of its frames. y must not be x. Throws ShapeError where the tensors do not fit.
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
  const from = checkConv(r, 'convTranspose1d', y, x, conv, k, n, options.from);
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
