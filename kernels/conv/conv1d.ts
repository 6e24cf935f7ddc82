// y = conv(act(x)) + bias over channel-last (B, T, C) f32 activations. HF: EncodecConv1d with
// reflected padding, causal or on both sides. torch: nn.Conv1d (groups 1). An ELU before the
// convolution is its prologue; the sum with the other branch of a residual block and an ELU after
// it are epilogues. conv_transpose1d.ts shares the checks, the parameters and the dispatch.

import { ShapeError } from '../../runtime/base/errors.ts';
import type { BackendKind } from '../../runtime/compute/backend.ts';
import type { Recorder } from '../../runtime/compute/program.ts';
import { expectDType, expectShape, type Tensor } from '../../runtime/compute/tensor.ts';
import { choices, type Choices } from '../common/choices.ts';
import { shader } from '../shaders.ts';

export interface Conv1d {
  readonly weight: Tensor; // (kernelSize · inChannels, outChannels, padded) f32, rows are (tap, channel): packConv1d
  readonly bias: Tensor | null; // (outChannels) f32
  readonly inChannels: number;
  readonly outChannels: number;
  readonly kernelSize: number;
  readonly stride: number;
  readonly dilation: number;
}

/** Consecutive frames of a tensor (B, T, C), the same for every sentence. */
export interface Slice {
  readonly start: number;
  readonly count: number;
}

export interface ConvOptions {
  /** Convolves elu(x) instead of x. */
  elu?: boolean;
  /**
   * Applies ELU to the result, after the residual sum. This evaluates ELU once for each element;
   * `elu` of the next convolution evaluates it once for each time that the element is read.
   */
  activate?: boolean;
  /**
   * As config.json's use_causal_conv: all padding goes in front, and a transposed convolution trims
   * only at the end. Default true.
   */
  causal?: boolean;
  /** Uses only these frames of x, as if x had no others. */
  from?: Slice;
  /** Set by tests; everyone else uses `choices()`. */
  variant?: Choices['conv'];
}

export interface Conv1dOptions extends ConvOptions {
  /** Adds the result to y instead of overwriting it. */
  residual?: boolean;
  /**
   * Drops the first `skip` frames of the result and writes the next `count` frames to y, beginning
   * at frame `start` of y.
   */
  into?: Slice & { readonly skip: number };
}

// Frames and output channels of one workgroup in conv_tile.wgsl and conv_simd8.wgsl.
const TILE_M = 64;
const TILE_N = 32;
/** Frames of one workgroup in conv1d_narrow_simd8.wgsl. */
const NARROW_SIMD8_ROWS = 128;
/** With at most this many output channels, one thread computes a whole frame (conv1d_narrow). */
const NARROW = 4;

/** Rows of a convolution's weight are padded to a multiple of 4 elements. */
export const padTo4 = (n: number): number => Math.ceil(n / 4) * 4;

/** Columns of a panel of a processor's weights, which are padded to whole panels. */
const PANEL = 8;

/** Shape of a weight with k terms for each of n columns. */
export const columnsShape = (k: number, n: number, kind: BackendKind): [k: number, columns: number] => [
  k,
  kind === 'wasm' ? Math.ceil(n / PANEL) * PANEL : padTo4(n),
];

/**
 * A weight (k, padTo4(n)) in the order in which the device reads it: for a processor its columns in
 * panels of 8 that follow each other, (⌈n / 8⌉, k, 8).
 */
export function ordered(
  weight: Float32Array<ArrayBuffer>,
  k: number,
  n: number,
  kind: BackendKind,
): Float32Array<ArrayBuffer> {
  if (kind !== 'wasm') return weight;
  const pitch = padTo4(n);
  const panels = new Float32Array(k * columnsShape(k, n, kind)[1]);
  for (let row = 0; row < k; row++) {
    for (let column = 0; column < n; column++)
      panels[(Math.floor(column / PANEL) * k + row) * PANEL + (column % PANEL)] = weight[row * pitch + column]!;
  }
  return panels;
}

/**
 * Transposes torch's weight (outChannels, inChannels, kernelSize) to the layout of `Conv1d.weight`:
 * (kernelSize · inChannels, padTo4(outChannels)), `ordered` for a device of this kind.
 */
export function packConv1d(
  weight: Float32Array,
  outChannels: number,
  inChannels: number,
  kernelSize: number,
  kind: BackendKind = 'webgpu',
): Float32Array<ArrayBuffer> {
  const pitch = padTo4(outChannels);
  const packed = new Float32Array(kernelSize * inChannels * pitch);
  for (let o = 0; o < outChannels; o++) {
    for (let c = 0; c < inChannels; c++) {
      for (let k = 0; k < kernelSize; k++)
        packed[(k * inChannels + c) * pitch + o] = weight[(o * inChannels + c) * kernelSize + k]!;
    }
  }
  return ordered(packed, kernelSize * inChannels, outChannels, kind);
}

/** Padding in frames. */
export interface Padding {
  readonly left: number;
  readonly right: number;
  /**
   * Index of the frame at which the right padding is reflected. It lies beyond the input where the
   * input is not longer than its padding, because HF extends such an input with zeros first.
   */
  readonly mirror: number;
  /** Number of frames of the result. */
  readonly frames: number;
}

/**
 * The padding that HF's EncodecConv1d gives `length` frames, including the extra frames on the
 * right that complete the last stride. Throws ShapeError for no frames, or a kernel that spans less
 * than its stride.
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
 * y (B, T', outChannels) = conv(x (B, T, inChannels)), f32, T' = ⌈T / stride⌉. y must not be x.
 * Throws ShapeError where the tensors or slices do not fit.
 */
export function conv1d(r: Recorder, y: Tensor, x: Tensor, conv: Conv1d, options: Conv1dOptions = {}): void {
  const { inChannels, outChannels, kernelSize, stride, dilation } = conv;
  const from = checkConv(r, 'conv1d', y, x, conv, kernelSize * inChannels, outChannels, options.from);
  const padding = conv1dPadding(from.count, conv, options.causal);
  const into = options.into ?? { start: 0, skip: 0, count: padding.frames };
  const rows = into.skip + into.count; // later frames of the result are not computed
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
 * Checks the tensors of either convolution and returns the slice of x that it reads. The
 * convolution is a product with `k` terms for each output and `n` columns. Throws ShapeError.
 */
export function checkConv(
  r: Recorder,
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
  expectShape(op, 'weight', conv.weight, columnsShape(k, n, r.device.kind));
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

/** What `struct Params` of conv/bindings.wgsl says beyond the tensors' shapes, and the variant. */
interface ConvCall {
  /** Frames to compute for each sentence, `skip` included. */
  rows: number;
  /** Terms of one output. */
  k: number;
  /** Columns of the product. */
  n: number;
  /** The frames of x that are read. */
  from: Slice;
  left: number;
  mirror: number;
  stride: number;
  dilation: number;
  /**
   * Frames of y, the first frame that is written, and the frames of the result dropped before it.
   */
  yRows: number;
  yStart: number;
  skip: number;
  elu: boolean | undefined;
  residual: boolean | undefined;
  activate: boolean | undefined;
  variant: Choices['conv'] | undefined;
}

/**
 * Appends the dispatch of a convolution, in the variant that suits the adapter. The simd8 variants
 * load four channels at once, so they need channel counts that are multiples of 4.
 */
export function dispatchConv(
  r: Recorder,
  name: string,
  y: Tensor,
  x: Tensor,
  conv: Pick<Conv1d, 'weight' | 'bias' | 'inChannels'>,
  call: ConvCall,
): void {
  const quads = conv.inChannels % 4 === 0;
  const narrow = name === 'conv1d_narrow';
  const simd8 = (call.variant ?? choices(r.device).conv) === 'simd8' && quads && (narrow || call.n % 4 === 0);
  const rows = narrow && simd8 ? NARROW_SIMD8_ROWS : TILE_M;
  const flag = (on: unknown): number => (on ? 1 : 0);
  const p = [
    call.rows,
    call.k,
    call.n,
    padTo4(call.n),
    conv.inChannels,
    x.shape[1]!,
    call.from.start,
    call.from.count,
    call.left,
    call.mirror,
    call.stride,
    call.dilation,
    call.yRows,
    call.yStart,
    call.skip,
    flag(call.elu),
    flag(conv.bias),
    flag(call.residual),
    flag(call.activate),
  ];
  r.dispatch(shader(simd8 ? `${name}_simd8` : name), {
    overrides: simd8 ? { ELU: flag(call.elu), ...(narrow && { N: call.n }) } : { WHOLE_QUADS: flag(quads) },
    bind: { p, x, ...(!simd8 && { quads: x }), w: conv.weight, bias: conv.bias ?? x, y },
    grid: [narrow ? 1 : Math.ceil(call.n / TILE_N), Math.ceil(call.rows / rows), x.shape[0]!],
  });
}
