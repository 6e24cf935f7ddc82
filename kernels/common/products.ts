// What `linear` and `qkv` share: a layer's weights, and which shader multiplies by them. A product
// of many rows is a GEMM (prefill, fine model), that of one row a sentence a GEMV (decode).

import { ShapeError } from '../../runtime/base/errors.ts';
import type { Recorder } from '../../runtime/compute/program.ts';
import type { Overrides, Shader } from '../../runtime/compute/shader.ts';
import { expectDType, expectShape, type Tensor } from '../../runtime/compute/tensor.ts';
import { choices, variantWithoutSubgroupMatrix, subgroupLanes, type Variant } from './choices.ts';
import { subgroupMatrixGemm } from './subgroup_matrix.ts';
import { shader } from '../shaders.ts';
import { MAX_BATCH } from '../state.ts';

export interface Norm {
  readonly weight: Tensor; // (K) f32
  readonly bias: Tensor | null; // (K) f32
}

export interface Linear {
  readonly weight: Tensor; // (N, K) f16 or f32
  readonly bias: Tensor | null; // (N) f32
  /** The LayerNorm in front of it, if there is one. */
  readonly norm: Norm | null;
  /**
   * (2, N) f32: Σ_k W·g, and bias + Σ_k W·β, of each row; null without norm and bias. `linearTerms`
   * makes it.
   */
  readonly terms: Tensor | null;
}

export const LAYER_NORM_EPS = 1e-5; // torch's default; Bark's configs have no key for it

/** What tests and checks choose themselves. */
export interface GemmOptions {
  variant?: Variant;
  largeTileFrom?: number;
}

/**
 * Shader of a product of m rows by `weight` (N, K), and the tile of a workgroup. The matrix form,
 * which rounds x to f16, is for weights that were rounded, too.
 */
export function gemmVariant(
  r: Recorder,
  base: string,
  weight: Tensor,
  m: number,
  options: GemmOptions,
): { shader: Shader; overrides: Overrides; rows: number; columns: number } {
  const { gemm, largeTileFrom } = choices(r.device);
  const variant = options.variant ?? gemm;
  const matrix =
    variant === 'subgroup_matrix' && weight.dtype === 'f16'
      ? subgroupMatrixGemm(r.device, base, m, weight.shape[0]!, options.largeTileFrom ?? largeTileFrom)
      : undefined;
  if (matrix) return { ...matrix, overrides: {} };
  const overrides = { WEIGHTS_F32: isF32(weight) };
  const other = variant === 'subgroup_matrix' ? variantWithoutSubgroupMatrix(r.device) : variant;
  return other === 'simd8'
    ? { shader: shader(`${base}_simd8`), overrides, rows: 64, columns: 32 }
    : { shader: shader(base), overrides, rows: 64, columns: 64 };
}

/** The value of the shaders' `*_F32` overrides: how weights or a cache are stored. */
export const isF32 = (t: Tensor): number => (t.dtype === 'f32' ? 1 : 0);

/**
 * How rows of x and of the matrix are shared out in a walk; tests name it, others leave it to
 * `choices`.
 */
export interface GemvOptions {
  /** At most so many rows of x share a walk over W. */
  readonly tile?: number;
  /** Matrix rows of a group of lanes: 1, 2 or 4. */
  readonly rows?: number;
  readonly threads?: number;
  /** Groups that share matrix rows; as many as fit. */
  readonly split?: number;
  /** 1: weights are asked for a step before they are needed. */
  readonly ahead?: number;
}

const MAX_GEMV_BATCH = 8; // batch rows that one pass of common/gemv.wgsl can process

/**
 * Subgroup or portable sibling of a GEMV shader for `count` rows of a matrix, its overrides, the
 * matrix rows of a workgroup, and the rows of x in a tile.
 */
export function gemvVariant(
  r: Recorder,
  base: string,
  w: Linear,
  batch: number,
  count: number,
  options: GemvOptions = {},
): { name: string; overrides: Record<string, number>; rows: number; tile: number } {
  const [n, k] = matrixShape(base, w);
  if (batch > MAX_BATCH)
    throw new ShapeError(`${base}: got a batch of ${batch}, expected at most ${MAX_BATCH}, the rows of the state.`);
  if (!w.terms && (w.norm || w.bias))
    throw new ShapeError(
      `${base}: ${w.weight.label} has a LayerNorm or a bias but no terms, expected (2, ${n}). Make them with linearTerms().`,
    );
  const { capabilities, limits } = r.device;
  const chosen = choices(r.device);
  const most = options.tile ?? chosen.gemvBatch;
  // as few walks over the matrix as can be, with tiles as even as can be
  const tile = Math.ceil(batch / Math.ceil(batch / most));
  const rows = options.rows ?? chosen.gemvRows;
  const lanes = capabilities.subgroups ? subgroupLanes(r.device) : 8;
  // Threads and split are for this matrix and never for this batch: they decide in which order sums
  // are made, and a sentence says the same alone. Two rows of the matrix at least: keys and values
  // are stored in pairs.
  const fewest = Math.max(rows === 1 ? 2 * lanes : lanes, capabilities.subgroupMaxSize);
  let threads = Math.max(
    fewest,
    Math.min(options.threads ?? chosen.gemvThreads, limits.maxComputeInvocationsPerWorkgroup),
  );
  const needs = (): number =>
    (16 * (MAX_GEMV_BATCH / 4) * (rows + 2) * (capabilities.subgroups ? 1 : lanes + 1) * threads) / lanes;
  while (threads > fewest && needs() > limits.maxComputeWorkgroupStorageSize) threads /= 2;
  const wanted = options.split ?? (chosen.gemvSpread * rows) / (count * lanes);
  const split = Math.min(
    2 ** Math.max(0, Math.ceil(Math.log2(wanted))),
    (rows * threads) / lanes / 2,
    threads / lanes,
    2 ** Math.floor(Math.log2(Math.max(1, k / 8 / lanes))),
  );
  return {
    name: capabilities.subgroups ? `${base}_subgroup` : base,
    overrides: {
      BATCH: tile,
      FOURS: Math.ceil(tile / 4),
      WG: threads,
      LANES: lanes,
      R: rows,
      SPLIT: split,
      COMPACT: (options.ahead ?? chosen.gemvAhead) ? 0 : 1,
      NORM: w.norm ? 1 : 0,
      EPS: LAYER_NORM_EPS,
      WEIGHTS_F32: isF32(w.weight),
    },
    rows: (rows * threads) / lanes / split,
    tile,
  };
}

/** [N, K] of a weight after the checks that hold for every product. */
export function matrixShape(op: string, w: Pick<Linear, 'weight' | 'bias'>): [n: number, k: number] {
  expectDType(op, 'weight', w.weight, 'f16', 'f32');
  const [n, k] = w.weight.shape;
  if (n === undefined || k === undefined || w.weight.shape.length !== 2 || k % 8 !== 0) {
    throw new ShapeError(
      `${op}: ${w.weight.label} has shape (${w.weight.shape}), expected (N, K) with K a multiple of 8.`,
    );
  }
  if (w.bias) expectShape(op, 'bias', w.bias, [n]);
  return [n, k];
}
