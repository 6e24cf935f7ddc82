// EncodecConv1d and EncodecConvTranspose1d as plain loops in f64 over channel-last rows (B, T, C):
// what the GPU is compared with. Slow on purpose and as close to the definitions as possible.

export const elu = (x: number): number => (x > 0 ? x : Math.expm1(x));

export interface ConvShape {
  readonly batch: number;
  readonly frames: number;
  readonly inChannels: number;
  readonly outChannels: number;
  readonly kernelSize: number;
  readonly stride: number;
  readonly dilation?: number;
  readonly causal?: boolean;
  /** The activation in front. */
  readonly elu?: boolean;
}

/**
 * torch.nn.functional.pad(mode='reflect') of rows, with HF's zeros behind an input that is not
 * longer than its padding.
 */
function padReflect(rows: Float64Array[], left: number, right: number): Float64Array[] {
  const most = Math.max(left, right);
  const extra = rows.length <= most ? most - rows.length + 1 : 0;
  const longer = [...rows, ...Array.from({ length: extra }, () => new Float64Array(rows[0]!.length))];
  const padded = [
    ...longer.slice(1, left + 1).reverse(),
    ...longer,
    ...(right > 0 ? longer.slice(-right - 1, -1).reverse() : []),
  ];
  return padded.slice(0, padded.length - extra);
}

/** x (B, T, Cin), weight (Cout, Cin, k), bias (Cout) → (B, T', Cout). */
export function conv1d(
  x: ArrayLike<number>,
  weight: ArrayLike<number>,
  bias: ArrayLike<number> | null,
  shape: ConvShape,
): { data: Float64Array; frames: number } {
  const { batch, frames, inChannels, outChannels, kernelSize, stride, dilation = 1, causal = true } = shape;
  const span = (kernelSize - 1) * dilation + 1;
  const total = span - stride;
  const windows = Math.ceil((frames - span + total) / stride + 1) - 1;
  const extra = windows * stride + span - total - frames;
  const right = causal ? 0 : Math.floor(total / 2);
  const out: number[] = [];
  let count = 0;
  for (let b = 0; b < batch; b++) {
    const rows = Array.from({ length: frames }, (_, t) =>
      Float64Array.from({ length: inChannels }, (_, c) => {
        const value = x[(b * frames + t) * inChannels + c]!;
        return shape.elu ? elu(value) : value;
      }),
    );
    const padded = padReflect(rows, total - right, right + extra);
    count = 0;
    for (let t = 0; t + span <= padded.length; t += stride, count++) {
      for (let o = 0; o < outChannels; o++) {
        let sum = bias ? bias[o]! : 0;
        for (let k = 0; k < kernelSize; k++) {
          for (let c = 0; c < inChannels; c++)
            sum += weight[(o * inChannels + c) * kernelSize + k]! * padded[t + k * dilation]![c]!;
        }
        out.push(sum);
      }
    }
  }
  return { data: Float64Array.from(out), frames: count };
}

/**
 * x (B, T, Cin), weight (Cin, Cout, k), bias (Cout) → (B, T · stride, Cout), trimmed as HF does.
 */
export function convTranspose1d(
  x: ArrayLike<number>,
  weight: ArrayLike<number>,
  bias: ArrayLike<number> | null,
  shape: ConvShape & { trimRightRatio?: number },
): Float64Array {
  const { batch, frames, inChannels, outChannels, kernelSize, stride, causal = true, trimRightRatio = 1 } = shape;
  const full = (frames - 1) * stride + kernelSize;
  const total = kernelSize - stride;
  const right = causal ? Math.ceil(total * trimRightRatio) : Math.floor(total / 2);
  const left = total - right;
  const y = new Float64Array(batch * frames * stride * outChannels);
  for (let b = 0; b < batch; b++) {
    const whole = Array.from({ length: full }, () =>
      Float64Array.from({ length: outChannels }, (_, o) => (bias ? bias[o]! : 0)),
    );
    for (let t = 0; t < frames; t++) {
      for (let c = 0; c < inChannels; c++) {
        const value = x[(b * frames + t) * inChannels + c]!;
        const input = shape.elu ? elu(value) : value;
        for (let o = 0; o < outChannels; o++) {
          for (let k = 0; k < kernelSize; k++)
            whole[t * stride + k]![o]! += input * weight[(c * outChannels + o) * kernelSize + k]!;
        }
      }
    }
    whole.slice(left, full - right).forEach((row, t) => y.set(row, (b * frames * stride + t) * outChannels));
  }
  return y;
}
