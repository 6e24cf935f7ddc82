// What every product of activations with a weight matrix shares (linear and qkv): the layer's
// tensors, the checks of their shapes, and the choice of a shader variant with its tile. A GEMM
// (matrix · matrix) serves prefill and the fine model, a GEMV (matrix · vector, one vector for each
// sentence) serves decode steps.

import { ShapeError } from '../../runtime/base/errors.ts';
import { isSoftware } from '../../runtime/compute/adapter.ts';
import type { Recorder } from '../../runtime/compute/program.ts';
import type { Overrides, Shader } from '../../runtime/compute/shader.ts';
import { expectDType, expectShape, type Tensor } from '../../runtime/compute/tensor.ts';
import { shader } from '../shaders.ts';
import { MAX_BATCH } from '../state.ts';
import { choices, subgroupLanes, variantWithoutSubgroupMatrix, type Variant } from './choices.ts';
import { subgroupMatrixGemm } from './subgroup_matrix.ts';

/** The parameters of a LayerNorm over K channels. */
export interface Norm {
  readonly weight: Tensor; // (K) f32
  readonly bias: Tensor | null; // (K) f32
}

/** A layer y = W · norm(x) + bias with K inputs and N outputs. */
export interface Linear {
  readonly weight: Tensor; // (N, K) f16 or f32
  readonly bias: Tensor | null; // (N) f32
  /** The LayerNorm in front of the product; null if there is none. */
  readonly norm: Norm | null;
  /**
   * What a decode step adds for the folded LayerNorm and the bias: (2, N) f32, row 0 is Σ_k W·g,
   * row 1 is bias + Σ_k W·β. Null without norm and bias. Made by `linearTerms`.
   */
  readonly terms: Tensor | null;
}

export const LAYER_NORM_EPS = 1e-5; // torch's default; Bark's configs have no key for it

/** Value of the shaders' `*_F32` overrides, which say how weights or a cache are stored. */
export const isF32 = (t: Tensor): number => (t.dtype === 'f32' ? 1 : 0);

/**
 * [N, K] of a layer's weight. Throws ShapeError unless the weight is an f16 or f32 matrix with K a
 * multiple of 8 and the bias, if there is one, has N values.
 */
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

/** GEMM parameters. Tests and the self check set them; everyone else uses `choices()`. */
export interface GemmOptions {
  variant?: Variant;
  /** The subgroup-matrix variant uses its larger tiles from these numbers of workgroups on. */
  hugeTileFrom?: number;
  largeTileFrom?: number;
}

/**
 * The shader for a GEMM of m rows with `weight` (N, K), its overrides, and the output tile (rows,
 * columns) of one workgroup. The subgroup-matrix variant rounds x to f16, so it is used only with
 * f16 weights; where it cannot be used, another variant takes its place.
 */
export function gemmVariant(
  r: Recorder,
  base: string,
  weight: Tensor,
  m: number,
  options: GemmOptions,
): { shader: Shader; overrides: Overrides; rows: number; columns: number } {
  const chosen = choices(r.device);
  const wanted = options.variant ?? chosen.gemm;
  if (wanted === 'subgroup_matrix' && weight.dtype === 'f16') {
    const tiled = subgroupMatrixGemm(r.device, base, m, weight.shape[0]!, { ...chosen, ...options });
    if (tiled) return { ...tiled, overrides: {} };
  }
  const variant = wanted === 'subgroup_matrix' ? variantWithoutSubgroupMatrix(r.device) : wanted;
  const overrides = { WEIGHTS_F32: isF32(weight) };
  return variant === 'simd8'
    ? { shader: shader(`${base}_simd8`), overrides, rows: 64, columns: 32 }
    : { shader: shader(base), overrides, rows: 64, columns: 64 };
}

/**
 * GEMV parameters: how batch rows and matrix rows are divided among threads. Tests set them;
 * everyone else uses `choices()`.
 */
export interface GemvOptions {
  /** Maximum number of batch rows processed in one pass over the matrix. */
  readonly tile?: number;
  /** Matrix rows that one group of lanes computes together: 1, 2 or 4. */
  readonly rows?: number;
  /** Threads of a workgroup. */
  readonly threads?: number;
  /** Lane groups that split each matrix row; lowered to what fits. */
  readonly split?: number;
  /** 1: load weights one step before they are needed. */
  readonly ahead?: number;
}

/** Batch rows that common/gemv.wgsl can process in one pass. */
const MAX_GEMV_BATCH = 8;

/**
 * The shader for a GEMV with `count` rows of a matrix (its subgroup or its portable variant), its
 * overrides, the matrix rows of one workgroup (`rows`), and the batch rows of one pass (`tile`).
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
  const { subgroups } = r.device.capabilities;
  const chosen = choices(r.device);
  // As few passes over the matrix as possible, with the batch divided evenly among them.
  const tile = Math.ceil(batch / Math.ceil(batch / (options.tile ?? chosen.gemvBatch)));
  const rows = options.rows ?? chosen.gemvRows;
  const lanes = subgroups ? subgroupLanes(r.device) : 8;
  const { threads, split } = gemvThreads(r, count, k, rows, lanes, options);
  return {
    name: subgroups ? `${base}_subgroup` : base,
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
      K: isSoftware(r.device.info) ? 0 : k,
      WEIGHTS_F32: isF32(w.weight),
    },
    rows: (rows * threads) / lanes / split,
    tile,
  };
}

/**
 * Threads of a workgroup, and the lane groups that split each matrix row. Both depend on the matrix
 * and never on the batch, because they decide the order in which sums are added up: a sentence must
 * give the same bits alone and in a batch.
 */
function gemvThreads(
  r: Recorder,
  count: number,
  k: number,
  rows: number,
  lanes: number,
  options: GemvOptions,
): { threads: number; split: number } {
  const { capabilities, limits } = r.device;
  const chosen = choices(r.device);
  // A workgroup needs at least two matrix rows, because keys and values are stored in pairs.
  const fewest = Math.max(rows === 1 ? 2 * lanes : lanes, capabilities.subgroupMaxSize);
  const wanted = Math.min(options.threads ?? chosen.gemvThreads, limits.maxComputeInvocationsPerWorkgroup);
  const memory = (threads: number): number =>
    (16 * (MAX_GEMV_BATCH / 4) * (rows + 2) * (capabilities.subgroups ? 1 : lanes + 1) * threads) / lanes;
  let threads = Math.max(fewest, wanted);
  while (threads > fewest && memory(threads) > limits.maxComputeWorkgroupStorageSize) threads /= 2;
  const splits = options.split ?? (chosen.gemvSpread * rows) / (count * lanes);
  const split = Math.min(
    2 ** Math.max(0, Math.ceil(Math.log2(splits))),
    (rows * threads) / lanes / 2,
    threads / lanes,
    2 ** Math.floor(Math.log2(Math.max(1, k / 8 / lanes))),
  );
  return { threads, split };
}
