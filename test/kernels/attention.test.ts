// Attention of many queries over the cache against softmax in f64: head sizes on both sides of the second half of the channels, causal and
// not, starts, slots, counts that end inside a tile, the end of the cache. Tolerance: tensors.ts, attentionError.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { attention } from '../../kernels/attention.ts';
import { formsOf, type Form } from '../../kernels/choice.ts';
import { createUniform, writeCall } from '../../kernels/state.ts';
import { ShapeError } from '../../runtime/errors.ts';
import { record } from '../../runtime/program.ts';
import { testDevice } from '../device.ts';
import { randomFloats } from '../random.ts';
import * as reference from '../reference.ts';
import { assertWithin, attentionError, download, filled, free, onlyFull, stored, UNTOUCHED, upload } from './tensors.ts';

const test = suite('attention');
const device = await testDevice();

interface Case {
  heads: number;
  headDim: number;
  dtype: 'f16' | 'f32';
  causal: boolean;
}

interface Span {
  m: number;
  count: number;
  start: number;
  slot: number;
}

async function compare(c: Case, capacity: number, spans: Span[], form: Form, scale = 1): Promise<void> {
  const { heads, headDim, dtype, causal } = c;
  const hidden = heads * headDim;
  const size = 2 * heads * capacity * headDim;
  const [ks, vs] = [stored(randomFloats(size, 1, 2), dtype), stored(randomFloats(size, 2, 2), dtype)];
  const shape = [2, heads, capacity, headDim];
  const cache = { keys: await upload(ks, shape, dtype), values: await upload(vs, shape, dtype) };
  const call = createUniform(device, 3, 'test', 'call');
  for (const { m, ...span } of spans) {
    const qs = randomFloats(m * hidden, 3, scale);
    const [q, y] = [await upload(qs, [m, hidden]), await upload(filled(m * hidden), [m, hidden])];
    writeCall(device, call, span);
    const program = await record(device, (r) => attention(r, y, q, cache, call, { causal, form }), { label: 'attention' });
    program.run();
    const expected = new Float64Array(m * hidden).fill(UNTOUCHED);
    const allowed = new Float64Array(m * hidden);
    for (let i = 0; i < span.count; i++) {
      const seen = span.start + (causal ? i + 1 : span.count);
      const row = reference.attend(qs.subarray(i * hidden, (i + 1) * hidden), ks, vs, { heads, headDim, capacity }, span.slot, seen);
      expected.set(row.values, i * hidden);
      allowed.set(row.sizes.map((s) => attentionError(headDim, seen, row.scoreSize) * s), i * hidden);
    }
    assertWithin(await download(y), expected, allowed, JSON.stringify({ m, form, ...span, ...c }));
    program.dispose();
    await free(q, y);
  }
  await free(cache.keys, cache.values, call);
}

const spans: Span[] = [
  { m: 1, count: 1, start: 0, slot: 0 },
  { m: 2, count: 1, start: 33, slot: 1 },
  { m: 31, count: 31, start: 1, slot: 0 },
  { m: 33, count: 33, start: 64, slot: 1 },
  { m: 65, count: 64, start: 0, slot: 0 },
  { m: 65, count: 63, start: 67, slot: 1 }, // the end of the cache
  { m: 5, count: 0, start: 3, slot: 0 },
];
const cases: Case[] = [
  { heads: 3, headDim: 8, dtype: 'f16', causal: true },
  { heads: 2, headDim: 72, dtype: 'f32', causal: false },
  ...onlyFull<Case>(
    { heads: 5, headDim: 16, dtype: 'f16', causal: false },
    { heads: 1, headDim: 24, dtype: 'f32', causal: true },
    { heads: 4, headDim: 40, dtype: 'f16', causal: true },
    { heads: 1, headDim: 48, dtype: 'f16', causal: false },
    { heads: 2, headDim: 64, dtype: 'f16', causal: true },
    { heads: 2, headDim: 96, dtype: 'f16', causal: true },
    { heads: 1, headDim: 128, dtype: 'f16', causal: true },
    { heads: 2, headDim: 128, dtype: 'f32', causal: false },
  ),
];
for (const form of formsOf(device)) {
  for (const c of cases) test(`${form}: ${JSON.stringify(c)}`, () => compare(c, 130, spans, form));
  test(`${form}: scores of hundreds: one position takes all, and nothing overflows`, () => compare({ heads: 3, headDim: 8, dtype: 'f16', causal: true }, 130, spans.slice(2, 4), form, 300));
}

test('caches that do not fit are refused', async () => {
  const q = await upload(filled(48), [2, 24]);
  const keys = await upload(filled(2 * 4 * 24), [2, 1, 4, 24], 'f16');
  const call = createUniform(device, 3, 'test', 'call');
  for (const [heads, headDim] of [[2, 12], [1, 16]] as const) {
    const t = { ...keys, shape: [2, heads, 4, headDim] };
    const error = await record(device, (r) => attention(r, q, q, { keys: t, values: t }, call, { causal: true }), { label: 'refused' }).catch((e: unknown) => e);
    assert.instance(error, ShapeError);
    assert.match((error as Error).message, /^attention: the cache has \d heads of \d+ channels, expected 24 channels together/);
  }
  await free(q, keys, call);
});

test.run();
