// Token and position embeddings: rows of a table by id, plus the row of the position. torch:
// nn.Embedding, twice, and their sum.

import type { Recorder } from '../../runtime/compute/program.ts';
import { expectShape, type Tensor } from '../../runtime/compute/tensor.ts';
import { shader } from '../shaders.ts';
import { isF32 } from '../common/products.ts';

/**
 * x (M, H) = Σ_c table[c · V + ids[m, c]] + positions[call.start + m] over the first `columns`
 * columns of ids (M, C) u32.
 * `table` is (tables · V, H) f16 or f32; `positions` (block_size, H) f32. Of M rows the first
 * `call.count` are computed.
 */
export function embedding(
  r: Recorder,
  x: Tensor,
  ids: Tensor,
  table: Tensor,
  positions: Tensor,
  call: Tensor,
  { columns = 1, vocab = table.shape[0]! } = {},
): void {
  const [m, h] = x.shape as [number, number];
  expectShape('embedding', 'ids', ids, [m, null]);
  expectShape('embedding', 'table', table, [null, h]);
  expectShape('embedding', 'positions', positions, [null, h]);
  r.dispatch(shader('embedding'), {
    overrides: { WEIGHTS_F32: isF32(table) },
    bind: { params: [h, vocab, ids.shape[1]!, columns], call, ids, w: table, positions, x },
    grid: [Math.ceil(h / 512), m],
  });
}

/**
 * x (B, H) = table[state.token] + positions[state.position]: what each sentence of a decode step
 * drew last.
 */
export function embeddingDecode(r: Recorder, x: Tensor, table: Tensor, positions: Tensor, state: Tensor): void {
  const [batch, h] = x.shape as [number, number];
  expectShape('embeddingDecode', 'table', table, [null, h]);
  expectShape('embeddingDecode', 'positions', positions, [null, h]);
  r.dispatch(shader('embedding_decode'), {
    overrides: { WEIGHTS_F32: isF32(table) },
    bind: { params: [h], state, w: table, positions, x },
    grid: [Math.ceil(h / 512), batch],
  });
}
