// The work that `--tune` times: for each choice of kernels/common/choices.ts the operations of Bark
// that depend on it, at the sizes of the small and the large model. They are recorded through the
// ordinary functions, so `device.tuning` decides which kernels run. Variants are compared with the
// default (tune.ts); the default is compared with f64 by the suites and the tests.

import { attention, attentionDecode } from '../../kernels/attention/attention.ts';
import { choices, valuesOf, type Choices } from '../../kernels/common/choices.ts';
import { columnsShape, conv1d, packConv1d } from '../../kernels/conv/conv1d.ts';
import { linear, linearDecode } from '../../kernels/linear/linear.ts';
import { qkv, type LayerCache } from '../../kernels/qkv/qkv.ts';
import { createState, createUniform, writeCall, writeRow } from '../../kernels/state.ts';
import type { Device } from '../../runtime/compute/device.ts';
import type { Recorder } from '../../runtime/compute/program.ts';
import type { Tensor } from '../../runtime/compute/tensor.ts';
import { MODELS } from '../model/inventory.ts';
import { filled, filledMatrix, series } from '../model/values.ts';
import { isSoftware } from '../../runtime/compute/adapter.ts';

export interface TuneCase {
  readonly outputs: readonly Tensor[];
  record(r: Recorder): void;
}

interface Owner {
  readonly name: string;
}

/** Makes a case; its tensors belong to `owner` and are freed together. */
type MakeTuneCase = (device: Device, owner: Owner) => TuneCase;

/** One choice: its name in the tuning file, its possible values, the present one, and its work. */
export interface Knob {
  readonly key: string;
  values(device: Device): readonly (string | number)[];
  current(device: Device): string | number;
  cases(device: Device): readonly MakeTuneCase[];
}

const CAPACITY = 1024;
const PREFILL = 887;
const CONTEXT = 600;
const WEIGHT_BYTES = 192 << 20; // weights of one program on a GPU: more than its caches hold, like those of a model
const [X, K, V] = [series(101), series(150_001), series(200_003)];
const WIDTHS = [MODELS.large, MODELS.small].map(({ hidden_size, num_heads }) => ({
  hidden: hidden_size,
  heads: num_heads,
}));

const weight = (device: Device, owner: Owner, n: number, k: number, phase = 0): Tensor =>
  filledMatrix(device, series(77_003 + 4099 * phase, 1 / Math.sqrt(k)), [n, k], 'f16', owner, 'weight');

const cacheOf = (device: Device, owner: Owner, heads: number, hidden: number): LayerCache => {
  const shape = [1, heads, CAPACITY, hidden / heads];
  return {
    keys: filled(device, K, shape, 'f16', owner, 'keys'),
    values: filled(device, V, shape, 'f16', owner, 'values'),
  };
};

function callOf(device: Device, owner: Owner, count: number): Tensor {
  const call = createUniform(device, 3, owner, 'call');
  writeCall(device, call, { count });
  return call;
}

function stateAt(device: Device, owner: Owner, position: number): Tensor {
  const state = createState(device, owner);
  writeRow(device, state, 0, { token: 7, position, step: 0, done: false, seed: [3, 5], limit: 1 << 30, base: 0 });
  return state;
}

/** The products of a decode step, layer after layer. */
const walks =
  (H: number, batch: number): MakeTuneCase =>
  (device, owner) => {
    const layers = isSoftware(device.info) ? 1 : Math.ceil(WEIGHT_BYTES / (2 * 12 * H * H));
    const row = (n: number, label: string): Tensor => device.createTensor([batch, n], 'f32', owner, label);
    const x = filled(device, X, [batch, H], 'f32', owner, 'x');
    const [projected, attended, wide, y] = [
      row(3 * H, 'projected'),
      row(H, 'attended'),
      row(4 * H, 'wide'),
      row(H, 'y'),
    ];
    const state = createState(device, owner);
    const plain = (n: number, k: number, phase: number) => ({
      weight: weight(device, owner, n, k, phase),
      bias: null,
      norm: null,
      terms: null,
    });
    const stack = Array.from(
      { length: layers },
      (_, l) =>
        [
          plain(3 * H, H, 4 * l),
          plain(H, H, 4 * l + 1),
          plain(4 * H, H, 4 * l + 2),
          plain(H, 4 * H, 4 * l + 3),
        ] as const,
    );
    return {
      outputs: [projected, attended, wide, y],
      record(r) {
        for (const [att, out, up, down] of stack) {
          linearDecode(r, projected, x, att, state);
          linearDecode(r, attended, x, out, state);
          linearDecode(r, wide, attended, up, state, { gelu: true });
          linearDecode(r, y, wide, down, state);
        }
      },
    };
  };

const oneQuery =
  ({ hidden, heads }: { hidden: number; heads: number }): MakeTuneCase =>
  (device, owner) => {
    const [q, y] = [
      filled(device, X, [1, hidden], 'f32', owner, 'q'),
      device.createTensor([1, hidden], 'f32', owner, 'y'),
    ];
    const [cache, state] = [cacheOf(device, owner, heads, hidden), stateAt(device, owner, CONTEXT - 1)];
    return { outputs: [y], record: (r) => attentionDecode(r, y, q, cache, state) };
  };

/** The products of a layer of a prefill. */
const products =
  ({ hidden: H, heads }: { hidden: number; heads: number }): MakeTuneCase =>
  (device, owner) => {
    const rows = (n: number, label: string): Tensor => device.createTensor([PREFILL, n], 'f32', owner, label);
    const x = filled(device, X, [PREFILL, H], 'f32', owner, 'x');
    const [q, attended, wide, y] = [rows(H, 'q'), rows(H, 'attended'), rows(4 * H, 'wide'), rows(H, 'y')];
    const [cache, call] = [cacheOf(device, owner, heads, H), callOf(device, owner, PREFILL)];
    const part = (n: number, k: number) => ({
      weight: weight(device, owner, n, k),
      bias: null,
      norm: null,
      terms: null,
    });
    const [att, out, up, down] = [part(3 * H, H), part(H, H), part(4 * H, H), part(H, 4 * H)];
    return {
      outputs: [q, cache.keys, cache.values, attended, wide, y],
      record(r) {
        qkv(r, q, cache, x, att, call);
        linear(r, attended, x, out, call);
        linear(r, wide, attended, up, call, { gelu: true });
        linear(r, y, wide, down, call);
      },
    };
  };

/**
 * A single product, for software adapters: they need seconds to compile a shader and to run a
 * layer.
 */
const oneProduct: MakeTuneCase = (device, owner) => {
  const H = MODELS.small.hidden_size;
  const [x, y] = [
    filled(device, X, [PREFILL, H], 'f32', owner, 'x'),
    device.createTensor([PREFILL, H], 'f32', owner, 'y'),
  ];
  const [part, call] = [{ weight: weight(device, owner, H, H), bias: null }, callOf(device, owner, PREFILL)];
  return { outputs: [y], record: (r) => linear(r, y, x, part, call) };
};

const manyQueries =
  ({ hidden, heads }: { hidden: number; heads: number }, count: number, causal: boolean): MakeTuneCase =>
  (device, owner) => {
    const [q, y] = [
      filled(device, X, [count, hidden], 'f32', owner, 'q'),
      device.createTensor([count, hidden], 'f32', owner, 'y'),
    ];
    const [cache, call] = [cacheOf(device, owner, heads, hidden), callOf(device, owner, count)];
    return { outputs: [y], record: (r) => attention(r, y, q, cache, call, { causal }) };
  };

/** A convolution in the second block of the codec's decoder, over `frames` frames. */
const convolution =
  (frames: number): MakeTuneCase =>
  (device, owner) => {
    const sizes = { inChannels: 128, outChannels: 64, kernelSize: 3 };
    const terms = sizes.kernelSize * sizes.inChannels;
    const values = series(77_003, 1 / Math.sqrt(terms));
    const packed = packConv1d(
      Float32Array.from({ length: terms * sizes.outChannels }, (_, i) => values.at(i)),
      sizes.outChannels,
      sizes.inChannels,
      sizes.kernelSize,
      device.kind,
    );
    const w = device.createTensor(columnsShape(terms, sizes.outChannels, device.kind), 'f32', owner, 'weight');
    device.write(w, packed);
    const bias = filled(device, series(90_001, 0.02), [sizes.outChannels], 'f32', owner, 'bias');
    const x = filled(device, X, [1, frames, sizes.inChannels], 'f32', owner, 'x');
    const y = device.createTensor([1, frames, sizes.outChannels], 'f32', owner, 'y');
    return {
      outputs: [y],
      record: (r) => conv1d(r, y, x, { ...sizes, weight: w, bias, stride: 1, dilation: 1 }, { elu: true }),
    };
  };

const decode = WIDTHS.map(({ hidden }) => walks(hidden, 1));
const layer = (software: boolean): readonly MakeTuneCase[] => (software ? [oneProduct] : WIDTHS.map(products));

/**
 * In the order of their share of a sentence's time: when time runs out, the rest keeps its default.
 */
const CASES: Readonly<Record<keyof Choices, (software: boolean) => readonly MakeTuneCase[]>> = {
  gemvRows: () => decode,
  gemvThreads: () => decode,
  attentionDecodeThreads: () => WIDTHS.map(oneQuery),
  gemm: layer,
  hugeTileFrom: layer,
  largeTileFrom: layer,
  attention: (software) =>
    software
      ? [manyQueries(WIDTHS[1]!, PREFILL, true)]
      : WIDTHS.flatMap((width) => [manyQueries(width, PREFILL, true), manyQueries(width, CAPACITY, false)]),
  conv: (software) => [convolution(software ? 3000 : 24_000)],
  gemvBatch: () => [walks(WIDTHS[0]!.hidden, 8)],
  gemvSpread: () => decode,
  gemvAhead: () => decode,
};

/** All choices, in the order in which they are tuned. */
export const KNOBS: readonly Knob[] = (Object.keys(CASES) as (keyof Choices)[]).map((key) => ({
  key,
  values: (device) => valuesOf(device, key),
  current: (device) => choices(device)[key],
  cases: (device) => CASES[key](isSoftware(device.info)),
}));
