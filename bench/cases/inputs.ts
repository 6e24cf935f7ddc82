// What the cases of the GPTs are made of: tensors at a model's sizes, cut from one block of values
// (model/values.ts), so that they need no copies and the check can recompute any of them.

import { linearTerms } from '../../kernels/linear/linear_terms.ts';
import { LAYER_NORM_EPS, type Linear } from '../../kernels/common/products.ts';
import type { LayerCache } from '../../kernels/qkv/qkv.ts';
import { createState, createUniform, writeCall, writeRow } from '../../kernels/state.ts';
import type { Device } from '../../runtime/compute/device.ts';
import { byteSize, type Tensor } from '../../runtime/compute/tensor.ts';
import { filled, filledMatrix, series, type Series } from '../model/values.ts';

export interface GptShape {
  readonly hidden: number;
  readonly heads: number;
  /** Rows of the semantic output head; `codebook`: rows of one codebook's head. */
  readonly semanticHead: number;
  readonly codebook: number;
}

/** Positions of a cache. */
export const CAPACITY = 1024;

interface Owner {
  readonly name: string;
}

// X: activations. Y: what an output holds before a residual is added. W: a matrix with k columns.
// G: gain of a LayerNorm. K, V: keys and values.
export const X = series(101);
export const Y = series(222_007);
export const W = (k: number): Series => series(77_003, 1 / Math.sqrt(k));
export const G = series(40_009, 0.1, 1);
export const K = series(150_001);
export const V = series(200_003);

export const bytesOf = (...tensors: Tensor[]): number =>
  tensors.reduce((sum, t) => sum + byteSize(t.shape, t.dtype), 0);

/** LayerNorm of row m of X (M, K) without bias. */
export function normed(m: number, k: number): (i: number) => number {
  let [mean, variance] = [0, 0];
  for (let i = 0; i < k; i++) mean += X.at(m * k + i) / k;
  for (let i = 0; i < k; i++) variance += (X.at(m * k + i) - mean) ** 2 / k;
  const rstd = 1 / Math.sqrt(variance + LAYER_NORM_EPS);
  return (i) => (X.at(m * k + i) - mean) * rstd * G.at(i);
}

/** The inputs of one model's GPTs on one device, with weights and caches of one dtype. */
export class GptInputs {
  readonly device: Device;
  readonly shape: GptShape;
  readonly dtype: 'float16' | 'float32';
  /** How weights and caches are stored, and the bytes of an element. */
  readonly stored: 'f16' | 'f32';
  readonly width: number;

  constructor(device: Device, shape: GptShape, dtype: 'float16' | 'float32') {
    this.device = device;
    this.shape = shape;
    this.dtype = dtype;
    this.stored = dtype === 'float16' ? 'f16' : 'f32';
    this.width = dtype === 'float16' ? 2 : 4;
  }

  get headDim(): number {
    return this.shape.hidden / this.shape.heads;
  }

  floats(values: Series, shape: readonly number[], owner: Owner, label: string): Tensor {
    return filled(this.device, values, shape, 'f32', owner, label);
  }

  output(shape: readonly number[], owner: Owner, label: string): Tensor {
    return this.device.createTensor(shape, 'f32', owner, label);
  }

  cache(owner: Owner): LayerCache {
    const shape = [1, this.shape.heads, CAPACITY, this.headDim];
    return {
      keys: filled(this.device, K, shape, this.stored, owner, 'keys'),
      values: filled(this.device, V, shape, this.stored, owner, 'values'),
    };
  }

  /** The state buffer of one sentence at `position`. */
  state(owner: Owner, position: number): Tensor {
    const state = createState(this.device, owner);
    const row = { token: 7, position, step: 0, done: false, seed: [3, 5], limit: 1 << 30, base: 0 } as const;
    writeRow(this.device, state, 0, row);
    return state;
  }

  /** The uniform of a run over `count` positions. */
  call(owner: Owner, count: number): Tensor {
    const call = createUniform(this.device, 3, owner, 'call');
    writeCall(this.device, call, { count });
    return call;
  }

  /** A layer (N, K), with a LayerNorm in front of it if `norm`. */
  async layer(owner: Owner, n: number, k: number, norm: boolean): Promise<Linear> {
    const part = {
      weight: filledMatrix(this.device, W(k), [n, k], this.stored, owner, 'weight'),
      bias: null,
      norm: norm ? { weight: this.floats(G, [k], owner, 'gain'), bias: null } : null,
    };
    return { ...part, terms: await linearTerms(this.device, part, owner) };
  }
}
