// Softmax(q · Kᵀ / √D) · V over the KV cache: for many queries of one sentence (prefill, fine model), and for one query a sentence (decode).

import { UnsupportedError } from '../runtime/errors.ts';
import type { Recorder } from '../runtime/program.ts';
import { expectShape, type Tensor } from '../runtime/tensor.ts';
import { choices, type Form } from './choice.ts';
import { isF32 } from './linear.ts';
import { cacheParams, type LayerCache } from './qkv.ts';
import { shader } from './shaders.ts';

/** y (M, H) for q (M, H); of M queries the first `call.count` are computed, at positions call.start … of row call.slot. `form` is for tests. */
export function attention(r: Recorder, y: Tensor, q: Tensor, cache: LayerCache, call: Tensor, { causal, form = choices(r.device).attention }: { causal: boolean; form?: Form }): void {
  const [m, hidden] = q.shape as [number, number];
  expectShape('attention', 'y', y, [m, hidden]);
  const sizes = cacheParams('attention', cache, hidden);
  r.dispatch(shader(form === 'lanes' ? 'attention_lanes' : 'attention'), {
    overrides: { CACHE_F32: isF32(cache.keys), CAUSAL: causal ? 1 : 0 },
    bind: { cache: sizes, call, q, keys: cache.keys, values: cache.values, y },
    grid: [Math.ceil(m / 64), sizes[0], form === 'lanes' ? Math.ceil(sizes[1] / 64) : 1],
  });
}

/** y (B, H) for q (B, H): each sentence's query sees its positions 0 … state.position. */
export function attentionRow(r: Recorder, y: Tensor, q: Tensor, cache: LayerCache, state: Tensor): void {
  const [batch, hidden] = q.shape as [number, number];
  expectShape('attentionRow', 'y', y, [batch, hidden]);
  expectShape('attentionRow', 'keys', cache.keys, [batch, null, null, null]);
  const sizes = cacheParams('attentionRow', cache, hidden);
  const threads = 64;
  const room = Math.ceil(sizes[2] / 1024) * 1024; // rounded, so that models share a pipeline
  const shared = 4 * room + (16 + 16 + 4) * threads;
  const limit = r.device.limits.maxComputeWorkgroupStorageSize;
  if (shared > limit) {
    throw new UnsupportedError(`attentionRow: block_size ${sizes[2]} needs ${shared} bytes of workgroup memory, expected at most ${limit} on '${r.device.name}'. Use a model with a smaller block_size.`);
  }
  r.dispatch(shader('attention_row'), {
    overrides: { CACHE_F32: isF32(cache.keys), ROOM: room, WG: threads },
    bind: { cache: sizes, state, q, keys: cache.keys, values: cache.values, y },
    grid: [sizes[0], batch],
  });
}
