// The fused projection of x to queries, keys and values, which writes keys and values straight to
// the KV cache (its epilogue). torch: att_proj of Bark's attention.

import type { Recorder } from '../../runtime/compute/program.ts';
import { expectDType, expectShape, type Tensor } from '../../runtime/compute/tensor.ts';
import { ShapeError } from '../../runtime/base/errors.ts';
import { shader } from '../shaders.ts';
import {
  gemmVariant,
  gemvVariant,
  isF32,
  matrixShape,
  type GemmOptions,
  type Linear,
  type GemvOptions,
} from '../common/products.ts';

/** Keys and values of one layer: (B, heads, capacity, head dim) each, f16 or f32. */
export interface LayerCache {
  readonly keys: Tensor;
  readonly values: Tensor;
}

/**
 * `struct Cache` of common/cache.wgsl, which is the layout of the cache. Throws ShapeError unless
 * keys and values agree, heads · headDim is `hidden`, and headDim is a multiple of 8 up to 128.
 */
export function cacheParams(
  op: string,
  cache: LayerCache,
  hidden: number,
): [heads: number, headDim: number, capacity: number] {
  const [batch, heads, capacity, headDim] = cache.keys.shape as [number, number, number, number];
  expectShape(op, 'values', cache.values, [batch, heads, capacity, headDim]);
  expectDType(op, 'values', cache.values, cache.keys.dtype);
  if (heads * headDim !== hidden || headDim % 8 !== 0 || headDim > 128) {
    throw new ShapeError(
      `${op}: the cache has ${heads} heads of ${headDim} channels, expected ${hidden} channels together and a head dim that is a multiple of 8 up to 128.`,
    );
  }
  return [heads, headDim, capacity];
}

/**
 * q (M, H) f32 from x (M, H), which is normalised already; keys and values go to positions
 * call.start, … of cache row call.slot. The first `call.count` of the M rows are computed. Throws
 * ShapeError where the tensors do not fit.
 */
export function qkv(
  r: Recorder,
  q: Tensor,
  cache: LayerCache,
  x: Tensor,
  w: Linear,
  call: Tensor,
  options: GemmOptions = {},
): void {
  const [n, k] = matrixShape('qkv', w);
  const m = x.shape[0]!;
  expectShape('qkv', 'x', x, [m, k]);
  expectShape('qkv', 'q', q, [m, k]);
  expectShape('qkv', 'weight', w.weight, [3 * k, k]);
  const cacheSizes = cacheParams('qkv', cache, k);
  const variant = gemmVariant(r, 'qkv', w.weight, m, options);
  r.dispatch(variant.shader, {
    overrides: { ...variant.overrides, CACHE_F32: isF32(cache.keys) },
    bind: {
      sizes: [k, n, w.bias ? 1 : 0],
      cache: cacheSizes,
      call,
      x,
      w: w.weight,
      bias: w.bias ?? x,
      q,
      keys: cache.keys,
      values: cache.values,
    },
    grid: [Math.ceil(n / variant.columns), Math.ceil(m / variant.rows)],
  });
}

/**
 * q (B, H) f32 from x (B, H), one row for each sentence, with the LayerNorm folded in; keys and
 * values go to state.position of the sentence's cache row. A position past the end of the cache,
 * and a sentence that is done, write nothing. Throws ShapeError where the tensors do not fit.
 */
export function qkvDecode(
  r: Recorder,
  q: Tensor,
  cache: LayerCache,
  x: Tensor,
  w: Linear,
  state: Tensor,
  options: GemvOptions = {},
): void {
  const [n, k] = matrixShape('qkvDecode', w);
  const batch = x.shape[0]!;
  expectShape('qkvDecode', 'x', x, [batch, k]);
  expectShape('qkvDecode', 'q', q, [batch, k]);
  expectShape('qkvDecode', 'weight', w.weight, [3 * k, k]);
  expectShape('qkvDecode', 'keys', cache.keys, [batch, null, null, null]);
  const cacheSizes = cacheParams('qkvDecode', cache, k);
  const variant = gemvVariant(r, 'qkv_decode', w, batch, n, options);
  r.dispatch(shader(variant.name), {
    overrides: { ...variant.overrides, CACHE_F32: isF32(cache.keys) },
    bind: {
      sizes: [k, n, n, 0, 0, w.terms ? 1 : 0, 0, 0, batch],
      cache: cacheSizes,
      state,
      x,
      w: w.weight,
      gain: w.norm?.weight ?? x,
      terms: w.terms ?? x,
      q,
      keys: cache.keys,
      values: cache.values,
    },
    grid: [Math.ceil(n / variant.rows), Math.ceil(batch / variant.tile)],
  });
}
