// y = act(norm(x) · Wᵀ + bias): torch nn.Linear with bias, GELU and residual as epilogues, so that none of them is a kernel of its own.
// `linear` serves many rows (prefill, fine model) as a tiled product of rows that are normalised already; `linearRow` the one row a sentence
// of a decode step, with LayerNorm folded into the walk over the weights (common/gemv.wgsl has the identity).

import { ShapeError } from '../runtime/errors.ts';
import type { Recorder } from '../runtime/program.ts';
import { expectDType, expectShape, type Tensor } from '../runtime/tensor.ts';
import { choices, type Form } from './choice.ts';
import { shader } from './shaders.ts';
import { MAX_BATCH } from './state.ts';

export interface Norm {
  readonly weight: Tensor; // (K) f32
  readonly bias: Tensor | null; // (K) f32
}

export interface Linear {
  readonly weight: Tensor; // (N, K) f16 or f32
  readonly bias: Tensor | null; // (N) f32
  /** The LayerNorm in front of it, if there is one. */
  readonly norm: Norm | null;
  /** (2, N) f32: Σ_k W·g, and bias + Σ_k W·β, of each row; null without norm and bias. `linearTerms` makes it. */
  readonly terms: Tensor | null;
}

export const LAYER_NORM_EPS = 1e-5; // torch's default; Bark's configs have no key for it

/** Shader of a product of many rows, and the tile of a workgroup. `form` is for tests. */
export function gemmVariant(r: Recorder, base: string, form: Form = choices(r.device).gemm): { name: string; rows: number; columns: number } {
  return form === 'lanes' ? { name: `${base}_lanes`, rows: 64, columns: 32 } : { name: base, rows: 64, columns: 64 };
}

/** The value of the shaders' `*_F32` overrides: how weights or a cache are stored. */
export const isF32 = (t: Tensor): number => (t.dtype === 'f32' ? 1 : 0);

/** y (M, N) = x (M, K) · Wᵀ; of M rows the first `call.count` are computed. `residual`: y += instead. */
export function linear(r: Recorder, y: Tensor, x: Tensor, w: Pick<Linear, 'weight' | 'bias'>, call: Tensor, options: { gelu?: boolean; residual?: boolean; form?: Form } = {}): void {
  const [n, k] = matrixShape('linear', w);
  const m = x.shape[0]!;
  expectShape('linear', 'x', x, [m, k]);
  expectShape('linear', 'y', y, [m, n]);
  const variant = gemmVariant(r, 'linear', options.form);
  r.dispatch(shader(variant.name), {
    overrides: { WEIGHTS_F32: isF32(w.weight) },
    bind: { sizes: [k, n, w.bias ? 1 : 0, options.gelu ? 1 : 0, options.residual ? 1 : 0], call, x, w: w.weight, bias: w.bias ?? x, y },
    grid: [Math.ceil(n / variant.columns), Math.ceil(m / variant.rows)],
  });
}

/** Which rows of the matrix a step computes: `count` rows from `even` on in even steps, from `odd` on in odd ones. */
export interface RowWindow {
  readonly even: number;
  readonly odd: number;
  readonly count: number;
}

/** y (B, N) = W · norm(x) + bias for x (B, K). With `window` y is (B, window.count). `residual`: y += instead. `tile`: at most so many rows of x share a walk over W. */
export function linearRow(r: Recorder, y: Tensor, x: Tensor, w: Linear, state: Tensor, options: { gelu?: boolean; residual?: boolean; window?: RowWindow; tile?: number } = {}): void {
  const [n, k] = matrixShape('linearRow', w);
  const batch = x.shape[0]!;
  const { even, odd, count } = options.window ?? { even: 0, odd: 0, count: n };
  if (Math.max(even, odd) + 1 > n) throw new ShapeError(`linearRow: the window starts at row ${Math.max(even, odd)}, expected one of ${n}.`);
  expectShape('linearRow', 'x', x, [batch, k]);
  expectShape('linearRow', 'y', y, [batch, count]);
  const variant = gemvVariant(r, 'linear_row', w, batch, options.tile);
  r.dispatch(shader(variant.name), {
    overrides: variant.overrides,
    bind: { sizes: [k, n, count, even, odd, w.terms ? 1 : 0, options.gelu ? 1 : 0, options.residual ? 1 : 0, batch], state, x, w: w.weight, gain: w.norm?.weight ?? x, terms: w.terms ?? x, y },
    grid: [Math.ceil(count / variant.rows), Math.ceil(batch / variant.tile)],
  });
}

/** Subgroup or portable sibling of a GEMV shader, its overrides, the matrix rows of a workgroup, and the rows of x in a tile. */
export function gemvVariant(r: Recorder, base: string, w: Linear, batch: number, most = choices(r.device).rowsOfWalk): { name: string; overrides: Record<string, number>; rows: number; tile: number } {
  const [n] = matrixShape(base, w);
  if (batch > MAX_BATCH) throw new ShapeError(`${base}: got a batch of ${batch}, expected at most ${MAX_BATCH}, the rows of the state.`);
  if (!w.terms && (w.norm || w.bias)) throw new ShapeError(`${base}: ${w.weight.label} has a LayerNorm or a bias but no terms, expected (2, ${n}). Make them with linearTerms().`);
  const { subgroups, subgroupMaxSize } = r.device.capabilities;
  const lanes = subgroups ? subgroupMaxSize : 8;
  const threads = Math.max(64, lanes);
  const tile = Math.ceil(batch / Math.ceil(batch / most)); // as few walks over the matrix as can be, with tiles as even as can be
  return {
    name: subgroups ? `${base}_subgroup` : base,
    overrides: { BATCH: tile, FOURS: Math.ceil(tile / 4), WG: threads, LANES: lanes, NORM: w.norm ? 1 : 0, EPS: LAYER_NORM_EPS, WEIGHTS_F32: isF32(w.weight) },
    rows: 4 * (threads / lanes), // R of common/gemv.wgsl for each group of lanes
    tile,
  };
}

/** [N, K] of a weight after the checks that hold for every product. */
export function matrixShape(op: string, w: Pick<Linear, 'weight' | 'bias'>): [n: number, k: number] {
  expectDType(op, 'weight', w.weight, 'f16', 'f32');
  const [n, k] = w.weight.shape;
  if (n === undefined || k === undefined || w.weight.shape.length !== 2 || k % 8 !== 0) {
    throw new ShapeError(`${op}: ${w.weight.label} has shape (${w.weight.shape}), expected (N, K) with K a multiple of 8.`);
  }
  if (w.bias) expectShape(op, 'bias', w.bias, [n]);
  return [n, k];
}
