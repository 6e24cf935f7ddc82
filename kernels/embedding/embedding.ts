// Token and position embeddings: the table's row for each token id plus the row of its position.
// torch: two nn.Embedding and their sum.

import type { Recorder } from '../../runtime/compute/program.ts';
import { expectShape, type Tensor } from '../../runtime/compute/tensor.ts';
import { shader } from '../shaders.ts';
import { isF32 } from '../common/products.ts';

/**
 * x (M, H) = Σ_c table[c · vocab + ids[m, c]] + positions[call.start + m], f32, over the first
 * `columns` columns of ids (M, C) u32. `table` is C tables of `vocab` rows below each other, (C ·
 * vocab, H) f16 or f32; `positions` is (block_size, H) f32. The first `call.count` of the M rows
 * are computed. `plain`: the table is f32 rows that the host wrote, not a matrix of weights, which a
 * processor keeps in another order. Throws ShapeError where the tensors do not fit.
 */
export function embedding(
  r: Recorder,
  x: Tensor,
  ids: Tensor,
  table: Tensor,
  positions: Tensor,
  call: Tensor,
  { columns = 1, vocab = table.shape[0]!, plain = false } = {},
): void {
  const [m, h] = x.shape as [number, number];
  expectShape('embedding', 'ids', ids, [m, null]);
  expectShape('embedding', 'table', table, [null, h]);
  expectShape('embedding', 'positions', positions, [null, h]);
  r.dispatch(shader('embedding'), {
    overrides: { WEIGHTS_F32: isF32(table) },
    bind: { params: [h, vocab, ids.shape[1]!, columns, plain ? 1 : 0], call, ids, w: table, positions, x },
    grid: [Math.ceil(h / 512), m],
  });
}

/**
 * x (B, H) = table[state.token] + positions[state.position], f32, for the token that each sentence
 * drew last. `table` is (V, H) f16 or f32, `positions` (block_size, H) f32. Rows of sentences that
 * are done stay as they are. Throws ShapeError where the tensors do not fit.
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
