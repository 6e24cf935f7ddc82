// y = conv(act(x)) + bias over channel-last (B, T, C) f32 activations. HF: EncodecConv1d with
// reflected padding, causal or on both sides; ELU in front of it is a prologue; the other branch of
// a residual block and ELU behind it are epilogues. torch: nn.Conv1d (groups 1). Also what
// conv_transpose1d.ts shares: slices of time, and the parameters that tell a shader of them.

import { ShapeError } from '../../runtime/base/errors.ts';
import type { Recorder } from '../../runtime/compute/program.ts';
import { expectDType, expectShape, type Tensor } from '../../runtime/compute/tensor.ts';
import { choices, type Choices } from '../common/choices.ts';
import { shader } from '../shaders.ts';

export interface Conv1d {
  readonly weight: Tensor; // (kernelSize · inChannels, padTo4(outChannels)) f32, rows (tap, channel): packConv1d
  readonly bias: Tensor | null; // (outChannels) f32
  readonly inChannels: number;
  readonly outChannels: number;
  readonly kernelSize: number;
  readonly stride: number;
  readonly dilation: number;
}

/** A run of frames of every sentence of a tensor (B, T, C). */
export interface Slice {
  readonly start: number;
  readonly count: number;
}

export interface ConvOptions {
  /** Reads elu(x). */
  elu?: boolean;
  /**
   * Writes elu(…), of the residual's sum too: once for each element, where `elu` of the next
   * convolution is once for each that reads it.
   */
  activate?: boolean;
  /**
   * All padding (or trimming) in front (or behind), as config.json's use_causal_conv; default true.
   */
  causal?: boolean;
  /** Takes these frames of x for all there are. */
  from?: Slice;
  /** For tests. */
  variant?: Choices['conv'];
}

export interface Conv1dOptions extends ConvOptions {
  /** y += instead of y =. */
  residual?: boolean;
  /**
   * Leaves out the first `skip` frames of the result and writes the next `count` to y's frames from
   * `start` on.
   */
  into?: Slice & { readonly skip: number };
}

const TILE_M = 64; // of common/conv_tile.wgsl and conv_simd8.wgsl
const TILE_N = 32;
const NARROW_SIMD8_ROWS = 128;
const NARROW = 4; // output channels up to which a thread makes a frame alone

/** Rows of a convolution's weight start at multiples of 4 elements. */
export const padTo4 = (n: number): number => Math.ceil(n / 4) * 4;

/**
 * torch's (outChannels, inChannels, kernelSize) as the kernel reads it: (kernelSize · inChannels,
 * padTo4(outChannels)).
 */
export function packConv1d(
  weight: Float32Array,
  outChannels: number,
  inChannels: number,
  kernelSize: number,
): Float32Array<ArrayBuffer> {
  const pitch = padTo4(outChannels);
  const packed = new Float32Array(kernelSize * inChannels * pitch);
  for (let o = 0; o < outChannels; o++) {
    for (let c = 0; c < inChannels; c++) {
      for (let k = 0; k < kernelSize; k++)
        packed[(k * inChannels + c) * pitch + o] = weight[(o * inChannels + c) * kernelSize + k]!;
    }
  }
  return packed;
}

export interface Padding {
  readonly left: number;
  readonly right: number;
  /**
   * Index of the frame that right padding is reflected at. Beyond the input where it is not longer
   * than its padding: HF continues it with zeros.
   */
  readonly mirror: number;
  /** Frames of the result. */
  readonly frames: number;
}

/**
 * HF EncodecConv1d's padding of `length` frames, the extra on the right that fills the last stride
 * included.
 */
export function conv1dPadding(
  length: number,
  conv: Pick<Conv1d, 'kernelSize' | 'stride' | 'dilation'>,
  causal = true,
): Padding {
  const span = (conv.kernelSize - 1) * conv.dilation + 1;
  const total = span - conv.stride;
  if (total < 0 || length < 1)
    throw new ShapeError(
      `conv1d: got ${length} frames, kernel ${conv.kernelSize}, dilation ${conv.dilation}, stride ${conv.stride}; expected a frame or more, and a kernel as long as its stride.`,
    );
  const extra = (Math.ceil((length - span + total) / conv.stride + 1) - 1) * conv.stride + span - total - length;
  const right = (causal ? 0 : Math.floor(total / 2)) + extra;
  const left = causal ? total : total - Math.floor(total / 2);
  return {
    left,
    right,
    mirror: Math.max(length - 1, left, right),
    frames: Math.floor((length + left + right - span) / conv.stride) + 1,
  };
}

/**
 * y (B, T', outChannels) = conv(x (B, T, inChannels)), T' = T / stride rounded up. y must not be x.
 */
export function conv1d(r: Recorder, y: Tensor, x: Tensor, conv: Conv1d, options: Conv1dOptions = {}): void {
  const { inChannels, outChannels, kernelSize, stride, dilation } = conv;
  const from = checkConv('conv1d', y, x, conv, kernelSize * inChannels, outChannels, options.from);
  const padding = conv1dPadding(from.count, conv, options.causal);
  const into = options.into ?? { start: 0, skip: 0, count: padding.frames };
  const rows = into.skip + into.count; // those after it are not asked for
  const end = options.into ? into.start + into.count : y.shape[1]!;
  if (end > y.shape[1]! || rows > padding.frames || (!options.into && end !== rows)) {
    throw new ShapeError(
      `conv1d: y (${y.label}) has ${y.shape[1]} frames, expected ${padding.frames} (of which ${into.count} after ${into.skip} are written from ${into.start} on).`,
    );
  }
  const narrow = outChannels <= NARROW;
  dispatchConv(r, narrow ? 'conv1d_narrow' : 'conv1d', y, x, conv, {
    rows,
    k: kernelSize * inChannels,
    n: outChannels,
    from,
    left: padding.left,
    mirror: padding.mirror,
    stride,
    dilation,
    yRows: y.shape[1]!,
    yStart: into.start,
    skip: into.skip,
    elu: options.elu,
    residual: options.residual,
    activate: options.activate,
    variant: options.variant,
  });
}

/**
 * The checks of both convolutions; gives the slice of x that is read. The product has `k` terms and
 * `n` columns.
 */
export function checkConv(
  op: string,
  y: Tensor,
  x: Tensor,
  conv: Pick<Conv1d, 'weight' | 'bias' | 'inChannels' | 'outChannels'>,
  k: number,
  n: number,
  from?: Slice,
): Slice {
  for (const [name, t] of [
    ['weight', conv.weight],
    ['x', x],
    ['y', y],
  ] as const)
    expectDType(op, name, t, 'f32');
  expectShape(op, 'weight', conv.weight, [k, padTo4(n)]);
  if (conv.bias) expectShape(op, 'bias', conv.bias, [n]);
  expectShape(op, 'x', x, [null, null, conv.inChannels]);
  expectShape(op, 'y', y, [x.shape[0]!, null, conv.outChannels]);
  const slice = from ?? { start: 0, count: x.shape[1]! };
  if (slice.start < 0 || slice.count < 1 || slice.start + slice.count > x.shape[1]!) {
    throw new ShapeError(
      `${op}: got frames ${slice.start} … ${slice.start + slice.count} of x (${x.label}), expected some of its ${x.shape[1]}.`,
    );
  }
  return slice;
}

/** What conv/bindings.wgsl's Params say beyond the tensors' shapes. */
interface ConvCall {
  rows: number;
  k: number;
  n: number;
  from: Slice;
  left: number;
  mirror: number;
  stride: number;
  dilation: number;
  yRows: number;
  yStart: number;
  skip: number;
  elu: boolean | undefined;
  residual: boolean | undefined;
  activate: boolean | undefined;
  variant: Choices['conv'] | undefined;
}

/**
 * Appends the dispatch of a shader that includes conv/bindings.wgsl, in the variant that suits the
 * adapter and the channels.
 */
export function dispatchConv(
  r: Recorder,
  name: string,
  y: Tensor,
  x: Tensor,
  conv: Pick<Conv1d, 'weight' | 'bias' | 'inChannels'>,
  of: ConvCall,
): void {
  const flag = (on: unknown): number => (on ? 1 : 0);
  const p = [
    of.rows,
    of.k,
    of.n,
    padTo4(of.n),
    conv.inChannels,
    x.shape[1]!,
    of.from.start,
    of.from.count,
    of.left,
    of.mirror,
    of.stride,
    of.dilation,
    of.yRows,
    of.yStart,
    of.skip,
    flag(of.elu),
    flag(conv.bias),
    flag(of.residual),
    flag(of.activate),
  ];
  const narrow = name === 'conv1d_narrow';
  const quads = conv.inChannels % 4 === 0;
  const lanes = (of.variant ?? choices(r.device).conv) === 'simd8' && quads && (narrow || of.n % 4 === 0);
  const rows = narrow && lanes ? NARROW_SIMD8_ROWS : TILE_M;
  r.dispatch(shader(lanes ? `${name}_simd8` : name), {
    overrides: lanes ? { ELU: flag(of.elu), ...(narrow && { N: of.n }) } : { WHOLE_QUADS: flag(quads) },
    bind: { p, x, ...(!lanes && { quads: x }), w: conv.weight, bias: conv.bias ?? x, y },
    grid: [narrow ? 1 : Math.ceil(of.n / TILE_N), Math.ceil(of.rows / rows), x.shape[0]!],
  });
}
