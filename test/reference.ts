// Kernels as plain loops in f64, over row-major arrays: what the GPU is compared with. Slow on
// purpose and as close to the definitions as they go.

export type Numbers = ArrayLike<number>;

// The codec's operations over channel-last (B, T, C) rows.

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
  x: Numbers,
  weight: Numbers,
  bias: Numbers | null,
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
  x: Numbers,
  weight: Numbers,
  bias: Numbers | null,
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

export interface LstmWeights {
  readonly weightIh: Numbers; // (4H, H), gates i, f, g, o
  readonly weightHh: Numbers; // (4H, H)
  readonly biasIh: Numbers; // (4H)
  readonly biasHh: Numbers; // (4H)
}

/** One layer from zero state: x (B, T, H) → (B, T, H). */
export function lstm(x: Numbers, w: LstmWeights, batch: number, frames: number, size: number): Float64Array {
  const sigmoid = (v: number) => 1 / (1 + Math.exp(-v));
  const y = new Float64Array(batch * frames * size);
  for (let b = 0; b < batch; b++) {
    let h = new Float64Array(size);
    const c = new Float64Array(size);
    for (let t = 0; t < frames; t++) {
      const at = (b * frames + t) * size;
      const gate = (row: number): number => {
        let sum = w.biasIh[row]! + w.biasHh[row]!;
        for (let k = 0; k < size; k++)
          sum += w.weightIh[row * size + k]! * x[at + k]! + w.weightHh[row * size + k]! * h[k]!;
        return sum;
      };
      const next = new Float64Array(size);
      for (let u = 0; u < size; u++) {
        c[u] = sigmoid(gate(size + u)) * c[u]! + sigmoid(gate(u)) * Math.tanh(gate(2 * size + u));
        next[u] = sigmoid(gate(3 * size + u)) * Math.tanh(c[u]!);
      }
      h = next;
      y.set(h, at);
    }
  }
  return y;
}

/** codes (B, Q, T), table (at least Q, size, D) → (B, T, D). */
export function codebookSum(
  codes: ArrayLike<number>,
  table: Numbers,
  batch: number,
  codebooks: number,
  frames: number,
  size: number,
  width: number,
): Float64Array {
  const y = new Float64Array(batch * frames * width);
  for (let b = 0; b < batch; b++) {
    for (let t = 0; t < frames; t++) {
      for (let q = 0; q < codebooks; q++) {
        const code = codes[(b * codebooks + q) * frames + t]!;
        for (let d = 0; d < width; d++) y[(b * frames + t) * width + d]! += table[(q * size + code) * width + d]!;
      }
    }
  }
  return y;
}

// The GPT kernels. They take values as stored (round to f16 first); where an f32 kernel must round,
// they also give the size of what was added up, since rounding errors are bounded by a few units of
// that, and that is what the tests allow.

/** Values with, for each, Σ|addends|: the scale of its rounding error. */
export interface Sized {
  readonly values: Float64Array;
  readonly sizes: Float64Array;
}

/** erf by its all-positive series e^{-x²}·2/√π·Σ 2ⁿx^{2n+1}/(2n+1)!!, to f64. */
export function erf(x: number): number {
  const z = Math.abs(x);
  if (z > 6) return Math.sign(x);
  let term = z;
  let sum = z;
  for (let n = 1; term > 1e-17 * sum; n++) sum += term *= (2 * z * z) / (2 * n + 1);
  return Math.sign(x) * (2 / Math.sqrt(Math.PI)) * Math.exp(-z * z) * sum;
}

/** torch nn.GELU(). */
export const gelu = (x: number): number => 0.5 * x * (1 + erf(x / Math.SQRT2));

/** torch nn.Linear: x (M, K) · wᵀ (N, K) + bias (N) → (M, N). */
export function linear(
  x: ArrayLike<number>,
  w: ArrayLike<number>,
  bias: ArrayLike<number> | null,
  [m, n, k]: readonly [number, number, number],
): Sized {
  const values = new Float64Array(m * n);
  const sizes = new Float64Array(m * n);
  for (let i = 0; i < m; i++) {
    for (let j = 0; j < n; j++) {
      let sum = bias ? bias[j]! : 0;
      let size = Math.abs(sum);
      for (let c = 0; c < k; c++) {
        const product = x[i * k + c]! * w[j * k + c]!;
        sum += product;
        size += Math.abs(product);
      }
      values[i * n + j] = sum;
      sizes[i * n + j] = size;
    }
  }
  return { values, sizes };
}

/** Mean and biased variance of each row of x (M, C). */
export function moments(x: ArrayLike<number>, m: number, c: number): { mean: number; variance: number }[] {
  return Array.from({ length: m }, (_, i) => {
    let mean = 0;
    for (let j = 0; j < c; j++) mean += x[i * c + j]! / c;
    let variance = 0;
    for (let j = 0; j < c; j++) variance += (x[i * c + j]! - mean) ** 2 / c;
    return { mean, variance };
  });
}

/** torch nn.LayerNorm over the last dimension of x (M, C), biased variance. */
export function layerNorm(
  x: ArrayLike<number>,
  weight: ArrayLike<number>,
  bias: ArrayLike<number> | null,
  m: number,
  eps = 1e-5,
): Float64Array {
  const c = weight.length;
  const rows = moments(x, m, c);
  return Float64Array.from({ length: m * c }, (_, at) => {
    const { mean, variance } = rows[Math.floor(at / c)]!;
    return ((x[at]! - mean) / Math.sqrt(variance + eps)) * weight[at % c]! + (bias ? bias[at % c]! : 0);
  });
}

/**
 * What `attend` needs to know: heads, channels of a head, and the positions there is room for in
 * the cache.
 */
export interface AttentionShape {
  readonly heads: number;
  readonly headDim: number;
  readonly capacity: number;
}

/**
 * softmax(q·Kᵀ/√D)·V of one query (heads · D) of row `slot` over its cached positions 0 … seen − 1;
 * keys and values (B, heads, capacity, D). `sizes` are Σ p·|v|, and `scoreSize` the largest
 * Σ|q·k|/√D: errors of the scores are relative errors of p.
 */
export function attend(
  q: ArrayLike<number>,
  keys: ArrayLike<number>,
  values: ArrayLike<number>,
  { heads, headDim, capacity }: AttentionShape,
  slot: number,
  seen: number,
): Sized & { scoreSize: number } {
  const out = { values: new Float64Array(heads * headDim), sizes: new Float64Array(heads * headDim), scoreSize: 0 };
  for (let h = 0; h < heads; h++) {
    const cache = (slot * heads + h) * capacity * headDim;
    const scores = Array.from({ length: seen }, (_, t) => {
      let score = 0;
      let size = 0;
      for (let c = 0; c < headDim; c++) {
        const product = (q[h * headDim + c]! * keys[cache + t * headDim + c]!) / Math.sqrt(headDim);
        score += product;
        size += Math.abs(product);
      }
      out.scoreSize = Math.max(out.scoreSize, size);
      return score;
    });
    const top = Math.max(...scores);
    const weights = scores.map((s) => Math.exp(s - top));
    const total = weights.reduce((a, b) => a + b);
    for (let t = 0; t < seen; t++) {
      for (let c = 0; c < headDim; c++) {
        const v = (weights[t]! / total) * values[cache + t * headDim + c]!;
        out.values[h * headDim + c]! += v;
        out.sizes[h * headDim + c]! += Math.abs(v);
      }
    }
  }
  return out;
}
