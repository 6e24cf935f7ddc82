// Softmax(q · Kᵀ / √D) · V over the KV cache: for many queries of one sentence (prefill, fine
// model), and for one query a sentence (decode).

import { UnsupportedError } from '../../runtime/base/errors.ts';
import type { Device } from '../../runtime/compute/device.ts';
import type { Recorder } from '../../runtime/compute/program.ts';
import type { Shader } from '../../runtime/compute/shader.ts';
import { expectShape, type Tensor } from '../../runtime/compute/tensor.ts';
import { choices, variantWithoutSubgroupMatrix, type Variant } from '../common/choices.ts';
import { subgroupMatrixShader, subgroupMatrixUnit } from '../common/subgroup_matrix.ts';
import { cacheParams, type LayerCache } from '../qkv/qkv.ts';
import { shader } from '../shaders.ts';
import { isF32 } from '../common/products.ts';
import { isSoftware } from '../../runtime/compute/adapter.ts';

/**
 * y (M, H) for q (M, H); of M queries the first `call.count` are computed, at positions call.start
 * … of row call.slot. `variant` is for tests; `matrix` is for f16 caches.
 */
export function attention(
  r: Recorder,
  y: Tensor,
  q: Tensor,
  cache: LayerCache,
  call: Tensor,
  { causal, variant = choices(r.device).attention }: { causal: boolean; variant?: Variant },
): void {
  const [m, hidden] = q.shape as [number, number];
  expectShape('attention', 'y', y, [m, hidden]);
  const sizes = cacheParams('attention', cache, hidden);
  const matrix =
    variant === 'subgroup_matrix' && cache.keys.dtype === 'f16'
      ? subgroupMatrixAttention(r.device, sizes[1])
      : undefined;
  const other = variant === 'subgroup_matrix' ? variantWithoutSubgroupMatrix(r.device) : variant;
  r.dispatch(matrix ?? shader(other === 'simd8' ? 'attention_simd8' : 'attention'), {
    overrides: {
      CAUSAL: causal ? 1 : 0,
      ...(matrix ? {} : { CACHE_F32: isF32(cache.keys) }),
      ...(matrix || other === 'simd8' ? {} : { TILE: isF32(cache.keys) ? 512 : 256 }),
    },
    bind: { cache: sizes, call, q, keys: cache.keys, values: cache.values, y },
    grid: [Math.ceil(m / ROWS), sizes[0], matrix ? 1 : Math.ceil(sizes[1] / 64)],
  });
}

const ROWS = 64; // queries of a workgroup, in each form

/**
 * The matrix form for heads of `headDim` channels, with tiles as large as fit; none where the
 * device cannot.
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
    // `staged` and `grown`
    16 * (Math.max(ROWS * (channels / 4 + 1), keys * (channels / 8 + 1) + ROWS * (keys / 4 + 1)) + 1);
  // Several workgroups should share a processor; 36 KiB leaves room for that on GPUs that have
  // more.
  // Drivers that compute on the CPU compile this for 15 s with a tile of 32, for 8 with one of 16.
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

/** What tests name themselves. */
export interface AttentionDecodeOptions {
  readonly subgroups?: boolean;
  readonly threads?: number;
}

/**
 * y (B, H) for q (B, H): each sentence's query sees its positions 0 … state.position. `options` are
 * for tests.
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
  const { name, overrides } = attentionDecodeVariant(r.device, sizes, options);
  r.dispatch(shader(name), {
    overrides: { CACHE_F32: isF32(cache.keys), ...overrides },
    bind: { cache: sizes, state, q, keys: cache.keys, values: cache.values, y },
    grid: [sizes[0], batch],
  });
}

/**
 * Subgroup or portable sibling, and as many threads a head as are wanted, allowed, and have room in
 * workgroup memory.
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
  const lanes = 2 ** Math.ceil(Math.log2(headDim / 8)); // that share a position
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
  // At the end a thread adds up a channel of every eighth thread or so: more than 256 of them take
  // longer there than they save before.
  let threads = Math.max(64, Math.min(256, 2 ** Math.floor(Math.log2(wanted))));
  while (threads > 64 && needs(threads) > memory) threads /= 2;
  if (needs(threads) > memory) {
    throw new UnsupportedError(
      `attentionDecode: block_size ${capacity} needs ${needs(threads)} bytes of workgroup memory, expected at most ${memory} on '${device.name}'. Use a model with a smaller block_size.`,
    );
  }
  return { name: 'attention_decode', overrides: { WG: threads, ROOM: room } };
}
