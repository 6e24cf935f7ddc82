// The kernels of Bark at the sizes they have in a model, each with its work in bytes and operations
// and with a check: a few outputs, computed again in f64 from the same inputs, here and as plainly
// as they go. Inputs are cut from one block (values.ts), so that no copies are needed. What is
// bound is all of a stage's real shape; what is checked is a sample, because all of it would take
// longer than timing it.

import { attention, attentionDecode } from '../../kernels/attention/attention.ts';
import { embedding, embeddingDecode } from '../../kernels/embedding/embedding.ts';
import { layerNorm } from '../../kernels/layer_norm/layer_norm.ts';
import { linear, linearDecode } from '../../kernels/linear/linear.ts';
import { linearTerms } from '../../kernels/linear/linear_terms.ts';
import { qkv, qkvDecode, type LayerCache } from '../../kernels/qkv/qkv.ts';
import { gumbel, threefry2x32 } from '../../kernels/sample/random.ts';
import { sample, samplingParams, SAMPLING_WORDS } from '../../kernels/sample/sample.ts';
import { sampleCodes, samplingCodesParams, SAMPLING_CODES_WORDS } from '../../kernels/sample/sample_codes.ts';
import { createState, createUniform, writeCall, writeRow } from '../../kernels/state.ts';
import type { Device } from '../../runtime/compute/device.ts';
import { float16ToFloat32 } from '../../runtime/base/half.ts';
import type { Recorder } from '../../runtime/compute/program.ts';
import { byteSize, type Tensor } from '../../runtime/compute/tensor.ts';
import { filled, series, type Series } from '../model/values.ts';
import { LAYER_NORM_EPS, type Linear } from '../../kernels/common/products.ts';

/**
 * An output that was computed again: its value in f64, and Σ|addends|, the scale of its rounding
 * error.
 */
export interface Expected {
  readonly at: number;
  readonly value: number;
  readonly size: number;
}

export interface Case {
  readonly op: string;
  readonly shape: string;
  readonly dtype: 'float16' | 'float32';
  /** Read and written, each tensor once. */
  readonly bytes: number;
  readonly flops: number;
  /** The first run of what it records is the one that is checked. */
  record(r: Recorder): void;
  /** Where the output lies, and what some of it must be. With `exact` they are whole numbers. */
  readonly output: Tensor;
  readonly exact?: boolean;
  expected(): Expected[];
}

/**
 * A case that is made when its turn comes; everything it makes is booked to `owner` and freed with
 * it.
 */
export type MakeCase = (owner: { name: string }) => Promise<Case>;

export interface GptShape {
  readonly hidden: number;
  readonly heads: number;
  /** Rows of the semantic and of a coarse head. */
  readonly semanticHead: number;
  readonly codebook: number;
}

export const SAMPLES = 16;
const CAPACITY = 1024;
const GAIN = { scale: 0.1, offset: 1 };

/** `SAMPLES` places among `n`, the first and the last among them. */
export const places = (n: number): number[] =>
  Array.from({ length: Math.min(SAMPLES, n) }, (_, i) =>
    i === 0 ? 0 : i === 1 ? n - 1 : Math.floor(((i * 0.618034) % 1) * n),
  );

/** Σ a(k)·b(k), k < n. */
export function dot(n: number, a: (k: number) => number, b: (k: number) => number): { value: number; size: number } {
  let [value, size] = [0, 0];
  for (let k = 0; k < n; k++) {
    const product = a(k) * b(k);
    value += product;
    size += Math.abs(product);
  }
  return { value, size };
}

/** erf by its all-positive series, to f64. */
function erf(x: number): number {
  const z = Math.abs(x);
  if (z > 6) return Math.sign(x);
  let [term, sum] = [z, z];
  for (let n = 1; term > 1e-17 * sum; n++) sum += term *= (2 * z * z) / (2 * n + 1);
  return Math.sign(x) * (2 / Math.sqrt(Math.PI)) * Math.exp(-z * z) * sum;
}
const gelu = (x: number): number => 0.5 * x * (1 + erf(x / Math.SQRT2));

/** LayerNorm of row m of x (M, K) without bias. */
function normed(x: Series, gain: Series, m: number, k: number): (i: number) => number {
  let [mean, variance] = [0, 0];
  for (let i = 0; i < k; i++) mean += x.at(m * k + i) / k;
  for (let i = 0; i < k; i++) variance += (x.at(m * k + i) - mean) ** 2 / k;
  const rstd = 1 / Math.sqrt(variance + LAYER_NORM_EPS);
  return (i) => (x.at(m * k + i) - mean) * rstd * gain.at(i);
}

/** All cases of the GPTs for weights and caches of `dtype`. */
export function gptCases(
  device: Device,
  { hidden: H, heads, semanticHead, codebook }: GptShape,
  dtype: 'float16' | 'float32',
): MakeCase[] {
  const stored = dtype === 'float16' ? 'f16' : 'f32';
  const width = dtype === 'float16' ? 2 : 4;
  const D = H / heads;
  const bytesOf = (...tensors: Tensor[]): number => tensors.reduce((sum, t) => sum + byteSize(t.shape, t.dtype), 0);
  const [X, Y, W, G, K, V] = [
    series(101),
    series(222_007),
    (k: number) => series(77_003, 1 / Math.sqrt(k)),
    series(40_009, GAIN.scale, GAIN.offset),
    series(150_001),
    series(200_003),
  ];

  const cacheOf = (owner: { name: string }): LayerCache => ({
    keys: filled(device, K, [1, heads, CAPACITY, D], stored, owner, 'keys'),
    values: filled(device, V, [1, heads, CAPACITY, D], stored, owner, 'values'),
  });
  const stateAt = (owner: { name: string }, position: number): Tensor => {
    const state = createState(device, owner);
    writeRow(device, state, 0, { token: 7, position, step: 0, done: false, seed: [3, 5], limit: 1 << 30, base: 0 });
    return state;
  };
  const callOf = (owner: { name: string }, count: number): Tensor => {
    const call = createUniform(device, 3, owner, 'call');
    writeCall(device, call, { count });
    return call;
  };
  const layerOf = async (owner: { name: string }, n: number, k: number, norm: boolean): Promise<Linear> => {
    const part = {
      weight: filled(device, W(k), [n, k], stored, owner, 'weight'),
      bias: null,
      norm: norm ? { weight: filled(device, G, [k], 'f32', owner, 'gain'), bias: null } : null,
    };
    return { ...part, terms: await linearTerms(device, part, owner) };
  };

  /**
   * `extra`: gelu, residual. Both forms of a product: of one row with its LayerNorm folded in, and
   * of many rows that are normalised already.
   */
  const product =
    (
      op: string,
      m: number,
      n: number,
      k: number,
      { norm = false, gelu: act = false, residual = false } = {},
    ): MakeCase =>
    async (owner) => {
      const layer = await layerOf(owner, n, k, norm && m === 1);
      const x = filled(device, X, [m, k], 'f32', owner, 'x');
      const y = filled(device, Y, [m, n], 'f32', owner, 'y'); // a residual adds to it, anything else must not
      const [state, call] = [stateAt(owner, 0), callOf(owner, m)];
      return {
        op,
        shape: `(${m}, ${k}) · (${n}, ${k})ᵀ`,
        dtype,
        bytes: bytesOf(layer.weight, x, y) + (residual ? bytesOf(y) : 0),
        flops: 2 * m * n * k,
        output: y,
        record: (r) =>
          m === 1
            ? linearDecode(r, y, x, layer, state, { gelu: act, residual })
            : linear(r, y, x, layer, call, { gelu: act, residual }),
        expected: () =>
          places(m * n).map((at) => {
            const [row, column] = [Math.floor(at / n), at % n];
            const input = norm && m === 1 ? normed(X, G, row, k) : (i: number) => X.at(row * k + i);
            const { value, size } = dot(k, input, (i) => W(k).at(column * k + i));
            return { at, value: (act ? gelu(value) : value) + (residual ? Y.at(at) : 0), size };
          }),
      };
    };

  /**
   * The fused projection; its queries are checked, and its keys and values are in the same product.
   */
  const projection =
    (m: number): MakeCase =>
    async (owner) => {
      const layer = await layerOf(owner, 3 * H, H, m === 1);
      const x = filled(device, X, [m, H], 'f32', owner, 'x');
      const q = device.createTensor([m, H], 'f32', owner, 'q');
      const cache = cacheOf(owner);
      const [state, call] = [stateAt(owner, 500), callOf(owner, m)];
      return {
        op: m === 1 ? 'qkv_decode' : 'qkv',
        shape: `(${m}, ${H}) · (${3 * H}, ${H})ᵀ`,
        dtype,
        bytes: bytesOf(layer.weight, x, q) + 2 * m * H * width,
        flops: 6 * m * H * H,
        output: q,
        record: (r) => (m === 1 ? qkvDecode(r, q, cache, x, layer, state) : qkv(r, q, cache, x, layer, call)),
        expected: () =>
          places(m * H).map((at) => {
            const row = Math.floor(at / H);
            return {
              at,
              ...dot(H, m === 1 ? normed(X, G, row, H) : (i) => X.at(row * H + i), (i) => W(H).at((at % H) * H + i)),
            };
          }),
      };
    };

  /** softmax(q · Kᵀ / √D) · V: a channel of one query over `seen` positions. */
  const attended = (query: number, channel: number, seen: number): { value: number; size: number } => {
    const head = Math.floor(channel / D);
    const at = head * CAPACITY * D;
    const scores = Array.from(
      { length: seen },
      (_, t) =>
        dot(
          D,
          (i) => X.at(query * H + head * D + i),
          (i) => K.at(at + t * D + i),
        ).value / Math.sqrt(D),
    );
    const top = Math.max(...scores);
    const weights = scores.map((s) => Math.exp(s - top));
    const total = weights.reduce((a, b) => a + b, 0);
    const { value, size } = dot(
      seen,
      (t) => weights[t]! / total,
      (t) => V.at(at + t * D + (channel % D)),
    );
    return { value, size: 4 * size }; // errors of the scores are relative errors of the weights
  };
  const oneQuery =
    (context: number): MakeCase =>
    async (owner) => {
      const [q, y] = [filled(device, X, [1, H], 'f32', owner, 'q'), device.createTensor([1, H], 'f32', owner, 'y')];
      const [cache, state] = [cacheOf(owner), stateAt(owner, context - 1)];
      return {
        op: 'attention_decode',
        shape: `1 query, ${context} positions, ${heads} × ${D}`,
        dtype,
        bytes: 2 * context * H * width + bytesOf(q, y),
        flops: 4 * context * H,
        output: y,
        record: (r) => attentionDecode(r, y, q, cache, state),
        expected: () => places(H).map((at) => ({ at, ...attended(0, at, context) })),
      };
    };
  const manyQueries =
    (m: number, causal: boolean): MakeCase =>
    async (owner) => {
      const [q, y] = [filled(device, X, [m, H], 'f32', owner, 'q'), device.createTensor([m, H], 'f32', owner, 'y')];
      const [cache, call] = [cacheOf(owner), callOf(owner, m)];
      return {
        op: causal ? 'attention causal' : 'attention',
        shape: `${m} queries, ${heads} × ${D}`,
        dtype,
        bytes: 2 * m * H * width + bytesOf(q, y),
        flops: causal ? 2 * m * (m + 1) * H : 4 * m * m * H,
        output: y,
        record: (r) => attention(r, y, q, cache, call, { causal }),
        expected: () =>
          places(m * H).map((at) => ({
            at,
            ...attended(Math.floor(at / H), at % H, causal ? Math.floor(at / H) + 1 : m),
          })),
      };
    };

  const norm =
    (m: number): MakeCase =>
    async (owner) => {
      const [x, y, gain] = [
        filled(device, X, [m, H], 'f32', owner, 'x'),
        device.createTensor([m, H], 'f32', owner, 'y'),
        filled(device, G, [H], 'f32', owner, 'gain'),
      ];
      const call = callOf(owner, m);
      return {
        op: 'layer_norm',
        shape: `(${m}, ${H})`,
        dtype: 'float32',
        bytes: bytesOf(x, y, gain),
        flops: 8 * m * H,
        output: y,
        record: (r) => layerNorm(r, y, x, { weight: gain, bias: null }, call),
        expected: () =>
          places(m * H).map((at) => ({ at, value: normed(X, G, Math.floor(at / H), H)(at % H), size: 4 })),
      };
    };
  const embed =
    (m: number): MakeCase =>
    async (owner) => {
      const table = filled(device, K, [semanticHead, H], stored, owner, 'table');
      const positions = filled(device, V, [CAPACITY, H], 'f32', owner, 'positions');
      const x = device.createTensor([m, H], 'f32', owner, 'x');
      const ids = device.createTensor([m, 1], 'u32', owner, 'ids');
      const id = (i: number): number => (7 + 131 * i) % semanticHead;
      device.write(
        ids,
        Uint32Array.from({ length: m }, (_, i) => id(i)),
      );
      const [state, call] = [stateAt(owner, 0), callOf(owner, m)];
      return {
        op: m === 1 ? 'embedding_decode' : 'embedding',
        shape: `(${m}, ${H})`,
        dtype,
        bytes: m * H * (width + 4) + bytesOf(x),
        flops: m * H,
        output: x,
        record: (r) =>
          m === 1 ? embeddingDecode(r, x, table, positions, state) : embedding(r, x, ids, table, positions, call),
        expected: () =>
          places(m * H).map((at) => ({ at, value: K.at(id(Math.floor(at / H)) * H + (at % H)) + V.at(at), size: 1 })),
      };
    };

  /** The likeliest of what top-k leaves after a Gumbel number each: the draw that must come out. */
  const drawn = (
    logits: Series,
    from: number,
    count: number,
    temperature: number,
    topK: number,
    words: (i: number) => number,
  ): number => {
    const values = Array.from({ length: count }, (_, i) => logits.at(from + i));
    const cut = topK > 0 ? values.toSorted((a, b) => b - a)[topK - 1]! : -Infinity;
    let best = -1;
    let most = -Infinity;
    values.forEach((v, i) => {
      const score = v >= cut ? v / temperature + gumbel(words(i)) : -Infinity;
      if (score > most) [best, most] = [i, score];
    });
    return best;
  };
  const draw: MakeCase = async (owner) => {
    const logits = filled(device, X, [1, semanticHead], 'f32', owner, 'logits');
    const tokens = device.createTensor([1, 8], 'u32', owner, 'tokens');
    const state = stateAt(owner, 0);
    const every = { first: 0, count: semanticHead };
    const settings = createUniform(device, SAMPLING_WORDS, owner, 'sampling');
    device.write(
      settings,
      samplingParams({ temperature: 0.7, topK: 50, topP: null, minEosP: null, eos: null, even: every, odd: every }),
    );
    return {
      op: 'sample',
      shape: `1 of ${semanticHead}, top-k 50`,
      dtype: 'float32',
      bytes: bytesOf(logits),
      flops: 0,
      output: tokens,
      exact: true,
      record: (r) => sample(r, tokens, logits, state, settings),
      expected: () => [
        { at: 0, value: drawn(X, 0, semanticHead, 0.7, 50, (i) => threefry2x32([3, 5], [0, i])[0]), size: 0 },
      ],
    };
  };
  const drawCodes: MakeCase = async (owner) => {
    const M = CAPACITY;
    const logits = filled(device, X, [M, codebook], 'f32', owner, 'logits');
    const codes = device.createTensor([M, 8], 'u32', owner, 'codes');
    const settings = createUniform(device, SAMPLING_CODES_WORDS, owner, 'sampling');
    device.write(
      settings,
      samplingCodesParams({ temperature: 0.5, start: 0, column: 3, count: codebook, seed: [3, 5], window: 0 }),
    );
    const key = threefry2x32([3, 5], [0, 3]);
    return {
      op: 'sample_codes',
      shape: `${M} of ${codebook}`,
      dtype: 'float32',
      bytes: bytesOf(logits) + 4 * M,
      flops: 0,
      output: codes,
      exact: true,
      record: (r) => sampleCodes(r, codes, logits, settings),
      expected: () =>
        places(M).map((m) => ({
          at: 8 * m + 3,
          value: drawn(X, m * codebook, codebook, 0.5, 0, (i) => threefry2x32(key, [m, i])[0]),
          size: 0,
        })),
    };
  };

  const rows = [257, 887, 1024];
  return [
    projection(1),
    product('linear_decode out', 1, H, H, { residual: true }),
    product('linear_decode mlp in', 1, 4 * H, H, { norm: true, gelu: true }),
    product('linear_decode mlp out', 1, H, 4 * H, { residual: true }),
    product('linear_decode semantic head', 1, semanticHead, H, { norm: true }),
    product('linear_decode coarse head', 1, codebook, H, { norm: true }),
    ...[257, 600, 1000].map(oneQuery),
    embed(1),
    draw,
    ...rows.flatMap((m) => [
      projection(m),
      product('linear out', m, H, H, { residual: true }),
      product('linear mlp in', m, 4 * H, H, { gelu: true }),
      product('linear mlp out', m, H, 4 * H, { residual: true }),
    ]),
    product('linear fine head', 1024, codebook, H),
    ...rows.map((m) => manyQueries(m, true)),
    manyQueries(1024, false),
    norm(887),
    embed(887),
    drawCodes,
  ];
}

/** An output as numbers. */
export async function readOutput(device: Device, t: Tensor): Promise<ArrayLike<number>> {
  const bytes = await device.read(t);
  return t.dtype === 'f16'
    ? float16ToFloat32(new Uint16Array(bytes))
    : t.dtype === 'f32'
      ? new Float32Array(bytes)
      : new Uint32Array(bytes);
}
