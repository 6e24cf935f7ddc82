// Embeddings, of many positions and of one a sentence: sums of a few f32, so the very numbers of
// the reference, bit for bit.
// Needs: a device, on processors, default, portable and swiftshader.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { embedding, embeddingDecode } from '../../../kernels/embedding/embedding.ts';
import { createUniform, writeCall } from '../../../kernels/state.ts';
import { ShapeError } from '../../../runtime/base/errors.ts';
import { record } from '../../../runtime/compute/program.ts';
import { testDevice } from '../../device.ts';
import { randomFloats, uniform } from '../../random.ts';
import { stateOf } from '../decode.ts';
import { download, filled, free, stored, UNTOUCHED, upload, uploadIds, uploadWeights } from '../tensors.ts';

const test = suite('embedding');
const device = await testDevice();

interface Case {
  m: number;
  h: number;
  dtype: 'f16' | 'f32';
  vocab: number;
  tables?: number;
  columns?: number;
  count?: number;
  start?: number;
  plain?: boolean;
}

async function compare({
  m,
  h,
  dtype,
  vocab,
  tables = 1,
  columns = 1,
  count = m,
  start = 0,
  plain = false,
}: Case): Promise<void> {
  const next = uniform(7);
  const ts = stored(randomFloats(tables * vocab * h, 1), dtype);
  const ps = randomFloats((start + m) * h, 2);
  const ids = Uint32Array.from({ length: m * tables }, () => Math.floor(next() * vocab));
  ids.set([vocab - 1], 0);
  const [table, positions, x, id] = [
    await (plain ? upload(ts, [tables * vocab, h]) : uploadWeights(ts, [tables * vocab, h], dtype)),
    await upload(ps, [start + m, h]),
    await upload(filled(m * h), [m, h]),
    await uploadIds(ids, [m, tables]),
  ];
  const call = createUniform(device, 3, 'test', 'call');
  writeCall(device, call, { count, start, slot: 1 });
  const program = await record(device, (r) => embedding(r, x, id, table, positions, call, { columns, vocab, plain }), {
    label: 'embedding',
  });
  program.run();
  const expected = Float32Array.from({ length: m * h }, (_, at) => {
    const [row, i] = [Math.floor(at / h), at % h];
    if (row >= count) return UNTOUCHED;
    let sum = ps[(start + row) * h + i]!;
    for (let c = 0; c < columns; c++) sum = Math.fround(sum + ts[(c * vocab + ids[row * tables + c]!) * h + i]!);
    return sum;
  });
  assert.equal(await download(x), expected);
  program.dispose();
  await free(table, positions, x, id, call);
}

test('one column', async () => {
  await compare({ m: 1, h: 8, dtype: 'f16', vocab: 3 });
  await compare({ m: 33, h: 72, dtype: 'f16', vocab: 65, count: 31, start: 9 });
  await compare({ m: 5, h: 768, dtype: 'f32', vocab: 10, start: 1 });
  await compare({ m: 3, h: 520, dtype: 'f16', vocab: 10, count: 0 });
});

test('rows of f32 that the host wrote, on every device in their plain order', async () => {
  await compare({ m: 33, h: 72, dtype: 'f32', vocab: 35, plain: true });
  await compare({ m: 5, h: 24, dtype: 'f32', vocab: 7, tables: 3, columns: 2, start: 3, plain: true });
});

test('several tables, of which the first columns are summed', async () => {
  await compare({ m: 31, h: 40, dtype: 'f16', vocab: 17, tables: 8, columns: 3 });
  await compare({ m: 31, h: 40, dtype: 'f16', vocab: 17, tables: 8, columns: 8, count: 30, start: 2 });
  await compare({ m: 2, h: 24, dtype: 'f32', vocab: 17, tables: 2, columns: 1 });
});

test('the rows that sentences drew last; ended ones stay', async () => {
  for (const [h, dtype] of [
    [8, 'f16'],
    [72, 'f32'],
    [768, 'f16'],
  ] as const) {
    const [vocab, capacity] = [13, 9];
    const [ts, ps] = [stored(randomFloats(vocab * h, 1), dtype), randomFloats(capacity * h, 2)];
    const [table, positions, x] = [
      await uploadWeights(ts, [vocab, h], dtype),
      await upload(ps, [capacity, h]),
      await upload(filled(5 * h), [5, h]),
    ];
    const rows = [
      { token: 12, position: 8 },
      { token: 0, position: 0 },
      { token: 3, position: 4, done: true },
      { token: 7, position: 7 },
      { token: 1, position: 2 },
    ];
    const state = stateOf(device, rows);
    const program = await record(device, (r) => embeddingDecode(r, x, table, positions, state), {
      label: 'embedding_decode',
    });
    program.run();
    const expected = Float32Array.from({ length: 5 * h }, (_, at) => {
      const { token, position, done } = rows[Math.floor(at / h)]!;
      return done ? UNTOUCHED : Math.fround(ts[token * h + (at % h)]! + ps[position * h + (at % h)]!);
    });
    assert.equal(await download(x), expected);
    program.dispose();
    await free(table, positions, x, state);
  }
});

test('tables that do not fit are refused', async () => {
  const [table, x] = [await upload(filled(24), [3, 8]), await upload(filled(32), [2, 16])];
  const state = stateOf(device, [{}, {}]);
  const error = await record(device, (r) => embeddingDecode(r, x, table, table, state), { label: 'refused' }).catch(
    (e: unknown) => e,
  );
  assert.instance(error, ShapeError);
  assert.match((error as Error).message, /^embeddingDecode: table \(test\) has shape \(3, 8\), expected \(\*, 16\)/);
  await free(table, x, state);
});

test.run();
