// Attention of one query a sentence over the positions it has, against softmax in f64: batches of
// unequal lengths, ended sentences, first and last positions of the cache. Tolerance: tensors.ts,
// attentionError.
// Needs: a device, on every profile.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { attentionDecode, type AttentionDecodeOptions } from '../../../kernels/attention/attention.ts';
import { ShapeError, UnsupportedError } from '../../../runtime/base/errors.ts';
import { record } from '../../../runtime/compute/program.ts';
import { testDevice } from '../../device.ts';
import { randomFloats } from '../../random.ts';
import * as reference from '../../../kernels/attention/reference.ts';
import { stateOf } from '../decode.ts';
import {
  assertWithin,
  attentionError,
  download,
  filled,
  free,
  onlyFull,
  stored,
  UNTOUCHED,
  upload,
} from '../tensors.ts';

const test = suite('attention_decode');
const device = await testDevice();

interface Case extends AttentionDecodeOptions {
  heads: number;
  headDim: number;
  dtype: 'f16' | 'f32';
  capacity: number;
  positions: number[];
  done?: number[];
  /** Of queries. */
  scale?: number;
}

async function compare(c: Case): Promise<void> {
  const { heads, headDim, dtype, capacity, positions, done = [], scale = 1 } = c;
  const batch = positions.length;
  const hidden = heads * headDim;
  const size = batch * heads * capacity * headDim;
  const [ks, vs, qs] = [
    stored(randomFloats(size, 1, 2), dtype),
    stored(randomFloats(size, 2, 2), dtype),
    randomFloats(batch * hidden, 3, scale),
  ];
  const shape = [batch, heads, capacity, headDim];
  const cache = { keys: await upload(ks, shape, dtype), values: await upload(vs, shape, dtype) };
  const [q, y] = [await upload(qs, [batch, hidden]), await upload(filled(batch * hidden), [batch, hidden])];
  const state = stateOf(
    device,
    positions.map((position, b) => ({ position, done: done.includes(b) })),
  );
  const program = await record(device, (r) => attentionDecode(r, y, q, cache, state, c), { label: 'attention_decode' });
  program.run();
  const expected = new Float64Array(batch * hidden).fill(UNTOUCHED);
  const allowed = new Float64Array(batch * hidden);
  for (const [b, position] of positions.entries()) {
    if (done.includes(b)) continue;
    const seen = Math.min(position + 1, capacity);
    const row = reference.attend(
      qs.subarray(b * hidden, (b + 1) * hidden),
      ks,
      vs,
      { heads, headDim, capacity },
      b,
      seen,
    );
    expected.set(row.values, b * hidden);
    allowed.set(
      row.sizes.map((s) => attentionError(headDim, seen, row.scoreSize) * s),
      b * hidden,
    );
  }
  assertWithin(await download(y), expected, allowed, JSON.stringify(c));
  program.dispose();
  await free(q, y, state, cache.keys, cache.values);
}

const cases: Case[] = [
  { heads: 3, headDim: 40, dtype: 'f16', capacity: 130, positions: [0, 129, 64, 1, 63, 2, 100, 65, 31], done: [2, 7] },
  { heads: 2, headDim: 72, dtype: 'f32', capacity: 33, positions: [32, 0, 7] },
  { heads: 3, headDim: 40, dtype: 'f16', capacity: 130, positions: [129, 70], scale: 300 },
  { heads: 3, headDim: 24, dtype: 'f16', capacity: 130, positions: [129, 0, 40, 77], done: [2], threads: 64 },
  { heads: 3, headDim: 40, dtype: 'f16', capacity: 130, positions: [129, 70, 3], subgroups: false, threads: 128 },
  ...onlyFull<Case>(
    ...[8, 16, 32, 128, 256, 1024].flatMap((threads): Case[] => [
      { heads: 2, headDim: 64, dtype: 'f16', capacity: 1500, positions: [1499, 300, 0], threads },
      { heads: 2, headDim: 16, dtype: 'f32', capacity: 200, positions: [199, 7], threads },
      { heads: 2, headDim: 128, dtype: 'f16', capacity: 200, positions: [199, 7], threads, subgroups: false },
    ]),
    { heads: 5, headDim: 8, dtype: 'f16', capacity: 65, positions: [64, 3] },
    { heads: 1, headDim: 16, dtype: 'f32', capacity: 1024, positions: [1023] },
    { heads: 4, headDim: 24, dtype: 'f32', capacity: 8, positions: [7, 0, 1, 2] },
    { heads: 1, headDim: 48, dtype: 'f16', capacity: 7, positions: [6] },
    { heads: 12, headDim: 64, dtype: 'f16', capacity: 1024, positions: [700, 1023] },
    { heads: 2, headDim: 96, dtype: 'f16', capacity: 129, positions: [128, 17] },
    { heads: 2, headDim: 128, dtype: 'f16', capacity: 257, positions: [256, 63, 64] },
    { heads: 1, headDim: 128, dtype: 'f32', capacity: 66, positions: [65] },
  ),
];
for (const c of cases) test(JSON.stringify(c), () => compare(c));

test('caches that do not fit, and those too long for workgroup memory, are refused', async () => {
  const q = await upload(filled(48), [2, 24]);
  const keys = await upload(filled(2 * 4 * 24), [2, 1, 4, 24], 'f16');
  const state = stateOf(device, [{}, {}]);
  const refuse = async (shape: number[]): Promise<Error> => {
    const t = { ...keys, shape };
    return (await record(device, (r) => attentionDecode(r, q, q, { keys: t, values: t }, state, { subgroups: false }), {
      label: 'refused',
    }).catch((e: unknown) => e)) as Error;
  };
  const batch = await refuse([3, 1, 4, 24]);
  assert.instance(batch, ShapeError);
  assert.match(batch.message, /keys \(test\) has shape \(3, 1, 4, 24\), expected \(2, \*, \*, \*\)/);
  if (device.kind === 'wasm') return; // there the scores of any length have room
  const long = await refuse([2, 1, 1 << 20, 24]);
  assert.instance(long, UnsupportedError);
  assert.match(long.message, /block_size 1048576 needs \d+ bytes of workgroup memory, expected at most \d+ on/);
  await free(q, keys, state);
});

test.run();
