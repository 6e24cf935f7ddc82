// softmax(q · Kᵀ / √D) · V over the KV cache, D the head dim: for many queries of one sentence
// (prefill, fine model), and for one query of each sentence (decode).

import { UnsupportedError } from '../../runtime/base/errors.ts';
import type { Device } from '../../runtime/compute/device.ts';
import type { Recorder } from '../../runtime/compute/program.ts';
import type { Overrides, Shader } from '../../runtime/compute/shader.ts';
import { expectShape, type Tensor } from '../../runtime/compute/tensor.ts';
import { choices, variantWithoutSubgroupMatrix, type Variant } from '../common/choices.ts';
import { subgroupMatrixShader, subgroupMatrixUnit } from '../common/subgroup_matrix.ts';
import { cacheParams, type LayerCache } from '../qkv/qkv.ts';
import { shader } from '../shaders.ts';
import { isF32 } from '../common/products.ts';
import { isSoftware } from '../../runtime/compute/adapter.ts';

/** Queries of one workgroup, in every variant for many queries. */
const ROWS = 64;

/**
 * y (M, H) f32 for queries q (M, H) of one sentence, whose keys and values are in the cache
 * already.
 * The first `call.count` of the M queries are computed; they stand at positions call.start, … of
 * cache row call.slot. `causal`: a query sees the positions up to its own, otherwise all of them.
 * Tests set `variant`; the subgroup-matrix variant is used only with f16 caches. Throws ShapeError
 * where the tensors do not fit.
 */
export function attention(
  r: Recorder,
  y: Tensor,
  q: Tensor,
  cache: LayerCache,
  call: Tensor,
  options: { causal: boolean; variant?: Variant },
): void {
  const [m, hidden] = q.shape as [number, number];
  expectShape('attention', 'y', y, [m, hidden]);
  const sizes = cacheParams('attention', cache, hidden);
  const [heads, headDim] = sizes;
  const variant = attentionVariant(r.device, cache, headDim, options.variant);
  r.dispatch(variant.shader, {
    overrides: { CAUSAL: options.causal ? 1 : 0, ...variant.overrides },
    bind: { cache: sizes, call, q, keys: cache.keys, values: cache.values, y },
    grid: [Math.ceil(m / ROWS), heads, Math.ceil(headDim / variant.channels)],
  });
}

/**
 * The shader for many queries, its overrides, and the channels of a head that one workgroup
 * computes.
 */
function attentionVariant(
  device: Device,
  cache: LayerCache,
  headDim: number,
  wanted: Variant = choices(device).attention,
): { shader: Shader; overrides: Overrides; channels: number } {
  const f32 = isF32(cache.keys);
  if (wanted === 'subgroup_matrix' && !f32) {
    const found = subgroupMatrixAttention(device, headDim);
    if (found) return { shader: found, overrides: {}, channels: headDim };
  }
  const variant = wanted === 'subgroup_matrix' ? variantWithoutSubgroupMatrix(device) : wanted;
  return variant === 'simd8'
    ? { shader: shader('attention_simd8'), overrides: { CACHE_F32: f32 }, channels: 64 }
    : { shader: shader('attention'), overrides: { CACHE_F32: f32, TILE: f32 ? 512 : 256 }, channels: 64 };
}

/**
 * The subgroup-matrix shader for heads of `headDim` channels, with the largest tile of keys that
 * fits; undefined where the device cannot run it.
 */
function subgroupMatrixAttention(device: Device, headDim: number): Shader | undefined {
  const unit = subgroupMatrixUnit(device);
  if (!unit || unit.lanes % unit.M !== 0) return undefined;
  const { M, N, K, lanes } = unit;
  const { limits } = device;
  if ((ROWS / M) * lanes > Math.min(limits.maxComputeInvocationsPerWorkgroup, limits.maxComputeWorkgroupSizeX))
    return undefined;
  const channels = Math.ceil(headDim / Math.max(N, K)) * Math.max(N, K);
  if (channels / Math.min(N, K) > 8) return undefined;
  const bytes = (keys: number): number =>
    // arrays `staged` and `grown`
    16 * (Math.max(ROWS * (channels / 4 + 1), keys * (channels / 8 + 1) + ROWS * (keys / 4 + 1)) + 1);
  // At most 36 KiB, so that several workgroups fit on one processor of GPUs that have more memory.
  // Drivers that compute on the CPU take 15 s to compile a tile of 32 keys, and 8 s for one of 16.
  const keys = (isSoftware(device.info) ? [16] : [64, 32]).find(
    (n) =>
      n / N <= 4 &&
      n % ((K * lanes) / M) === 0 &&
      bytes(n) <= Math.min(limits.maxComputeWorkgroupStorageSize, 36 * 1024),
  );
  return keys === undefined
    ? undefined
    : subgroupMatrixShader('attention_subgroup_matrix', unit, { HEAD_DIM: headDim, ROWS, KEYS: keys });
}

/** Parameters that tests set; everyone else uses `choices()`. */
export interface AttentionDecodeOptions {
  /** false: the portable variant even where subgroups are available. */
  readonly subgroups?: boolean;
  /** Threads for one head. */
  readonly threads?: number;
}

/**
 * y (B, H) f32 for q (B, H), one query for each sentence, which sees positions 0 … state.position
 * of its own row of the cache. Rows of sentences that are done stay as they are. Throws ShapeError
 * where the tensors do not fit, UnsupportedError where the scores of a whole cache row do not fit
 * into workgroup memory (portable variant).
 */
export function attentionDecode(
  r: Recorder,
  y: Tensor,
  q: Tensor,
  cache: LayerCache,
  state: Tensor,
  options: AttentionDecodeOptions = {},
): void {
  const [batch, hidden] = q.shape as [number, number];
  expectShape('attentionDecode', 'y', y, [batch, hidden]);
  expectShape('attentionDecode', 'keys', cache.keys, [batch, null, null, null]);
  const sizes = cacheParams('attentionDecode', cache, hidden);
  const variant = attentionDecodeVariant(r.device, sizes, options);
  r.dispatch(shader(variant.name), {
    overrides: { CACHE_F32: isF32(cache.keys), ...variant.overrides },
    bind: { cache: sizes, state, q, keys: cache.keys, values: cache.values, y },
    grid: [sizes[0], batch],
  });
}

/**
 * The subgroup or the portable shader, with the wanted number of threads for a head, lowered to
 * what the device allows and workgroup memory has room for.
 */
function attentionDecodeVariant(
  device: Device,
  [, headDim, capacity]: readonly [number, number, number],
  options: AttentionDecodeOptions,
): { name: string; overrides: Record<string, number> } {
  const { limits, capabilities: c } = device;
  const memory = limits.maxComputeWorkgroupStorageSize;
  const wanted = Math.min(
    options.threads ?? choices(device).attentionDecodeThreads,
    limits.maxComputeInvocationsPerWorkgroup,
    limits.maxComputeWorkgroupSizeX,
  );
  const lanes = 2 ** Math.ceil(Math.log2(headDim / 8)); // threads that share one position
  if ((options.subgroups ?? c.subgroups) && lanes <= c.subgroupMinSize) {
    const subgroups = (threads: number): number => threads / c.subgroupMinSize;
    let threads = Math.max(c.subgroupMaxSize, 2 ** Math.floor(Math.log2(wanted)));
    while (threads > c.subgroupMaxSize && subgroups(threads) * (32 * lanes + 8) > memory) threads /= 2;
    return {
      name: 'attention_decode_subgroup',
      overrides: { WG: threads, LANES: lanes, SUBGROUPS: subgroups(threads) },
    };
  }
  const room = Math.ceil(capacity / 1024) * 1024; // rounded, so that models share a pipeline
  const needs = (threads: number): number => 4 * room + (16 + 16 + 4) * threads;
  // In the last step one thread adds up each channel over about an eighth of the threads, so more
  // than 256 threads cost more time there than they save before.
  let threads = Math.max(64, Math.min(256, 2 ** Math.floor(Math.log2(wanted))));
  while (threads > 64 && needs(threads) > memory) threads /= 2;
  if (needs(threads) > memory) {
    throw new UnsupportedError(
      `attentionDecode: block_size ${capacity} needs ${needs(threads)} bytes of workgroup memory, expected at most ${memory} on '${device.name}'. Use a model with a smaller block_size.`,
    );
  }
  return { name: 'attention_decode', overrides: { WG: threads, ROOM: room } };
}
