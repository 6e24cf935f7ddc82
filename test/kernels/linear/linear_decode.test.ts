// The product of one row a sentence, LayerNorm folded in, against LayerNorm and product in f64:
// each epilogue, batches that fill tiles and that do not, windows of rows, sentences that have
// ended. Tolerances: decode.ts (`folded`); GELU as in linear.test.ts.
// Needs: a device, on processors, default, portable, swiftshader and subgroup_matrix.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { linearDecode, type RowWindow } from '../../../kernels/linear/linear.ts';
import { writeRow } from '../../../kernels/state.ts';
import { ShapeError } from '../../../runtime/base/errors.ts';
import { record } from '../../../runtime/compute/program.ts';
import { testDevice } from '../../device.ts';
import { randomFloats } from '../../random.ts';
import * as reference from '../../../kernels/linear/reference.ts';
import { folded, freeLinear, randomLinear, stateOf } from '../decode.ts';
import { assertWithin, download, filled, free, onlyFull, ROUNDING, upload } from '../tensors.ts';
import type { GemvOptions } from '../../../kernels/common/products.ts';

const test = suite('linear_decode');

const device = await testDevice();

interface Case extends GemvOptions {
  batch: number;
  k: number;
  n: number;
  dtype: 'f16' | 'f32';
  bias?: boolean;
  norm?: boolean;
  beta?: boolean;
  gelu?: boolean;
  residual?: boolean;
  window?: RowWindow;
  done?: number[];
  /** Added to all of x. */
  offset?: number;
}

async function compare(c: Case): Promise<void> {
  const { batch, k, n, dtype, gelu = false, residual = false, done = [], window } = c;
  const count = window?.count ?? n;
  const layer = await randomLinear(device, n, k, dtype, c);
  const xs = randomFloats(batch * k, 1, 2).map((v) => v + (c.offset ?? 0));
  const before = residual ? randomFloats(batch * count, 4, 8) : filled(batch * count);
  const [x, y] = [await upload(xs, [batch, k]), await upload(before, [batch, count])];
  const state = stateOf(
    device,
    Array.from({ length: batch }, (_, b) => ({ done: done.includes(b) })),
  );
  const program = await record(device, (r) => linearDecode(r, y, x, layer.gpu, state, c), { label: 'linear_decode' });
  const all = folded(xs, layer, batch);
  for (const step of window ? [0, 1, 2, 7] : [0]) {
    const first = window ? (step % 2 ? window.odd : window.even) : 0;
    for (let b = 0; b < batch; b++)
      writeRow(device, state, b, {
        token: 9,
        position: 3,
        step,
        done: done.includes(b),
        seed: [1, 2],
        limit: 9,
        base: 9,
      });
    device.write(y, before);
    program.run();
    const at = (i: number): number => Math.floor(i / count) * n + first + (i % count);
    const stays = (i: number): boolean => done.includes(Math.floor(i / count));
    const expected = Float64Array.from(before, (old, i) => {
      const v = all.values[at(i)]!;
      return stays(i) ? old : (gelu ? reference.gelu(v) : v) + (residual ? old : 0);
    });
    const allowed = Float64Array.from(expected, (v, i) =>
      stays(i)
        ? 0
        : 1.13 * all.allowed[at(i)]! +
          ROUNDING * Math.abs(v) +
          (gelu ? 1e-7 * Math.abs(all.values[at(i)]!) + 2 * ROUNDING : 0),
    );
    assertWithin(await download(y), expected, allowed, JSON.stringify({ step, ...c }));
  }
  program.dispose();
  await freeLinear(layer);
  await free(x, y, state);
}

const cases: Case[] = [
  { batch: 1, k: 768, n: 130, dtype: 'f16', norm: true, beta: true, bias: true, gelu: true },
  { batch: 9, k: 72, n: 33, dtype: 'f16', norm: true, bias: true, tile: 4, done: [0, 2, 3, 4, 5, 8] },
  { batch: 8, k: 120, n: 65, dtype: 'f32', residual: true, bias: true, done: [1, 4, 5, 6, 7] },
  { batch: 2, k: 24, n: 100, dtype: 'f16', norm: true, window: { even: 10, odd: 61, count: 39 } },
  { batch: 7, k: 8, n: 1, dtype: 'f32', norm: true, beta: true, tile: 4 },
  { batch: 13, k: 104, n: 37, dtype: 'f16', norm: true, beta: true, tile: 8, done: [5, 12] },
  // What GPUs are given: split rows, one or two of them a group, weights asked for ahead.
  {
    batch: 1,
    k: 776,
    n: 37,
    dtype: 'f16',
    norm: true,
    beta: true,
    bias: true,
    rows: 4,
    threads: 128,
    split: 4,
    ahead: 1,
  },
  {
    batch: 2,
    k: 264,
    n: 35,
    dtype: 'f16',
    residual: true,
    rows: 1,
    threads: 64,
    split: 8,
    ahead: 1,
    window: { even: 1, odd: 14, count: 21 },
  },
  { batch: 5, k: 136, n: 9, dtype: 'f16', norm: true, rows: 1, threads: 64, split: 2, tile: 8, ahead: 1, done: [1] },
  ...onlyFull<Case>(
    { batch: 1, k: 8, n: 7, dtype: 'f16' },
    { batch: 2, k: 40, n: 8, dtype: 'f32', gelu: true, residual: true },
    { batch: 3, k: 64, n: 1000, dtype: 'f16', norm: true, beta: true },
    { batch: 4, k: 192, n: 65, dtype: 'f32', norm: true, gelu: true, residual: true },
    { batch: 5, k: 768, n: 33, dtype: 'f16', bias: true, residual: true, done: [4] },
    { batch: 6, k: 768, n: 30, dtype: 'f32', norm: true, beta: true, bias: true },
    { batch: 16, k: 72, n: 130, dtype: 'f16', norm: true, done: [0, 1, 2, 3, 15] },
    {
      batch: 3,
      k: 72,
      n: 64,
      dtype: 'f32',
      norm: true,
      beta: true,
      bias: true,
      window: { even: 31, odd: 0, count: 33 },
    },
    { batch: 1, k: 72, n: 64, dtype: 'f16', window: { even: 0, odd: 63, count: 1 } },
    ...(
      [
        [64, 1],
        [64, 4],
        [256, 16],
      ] as const
    ).flatMap(([threads, split]): Case[] => [
      { batch: 1, k: 520, n: 67, dtype: 'f16', norm: true, bias: true, rows: 1, threads, split, ahead: 1 },
      { batch: 3, k: 1032, n: 19, dtype: 'f32', residual: true, rows: 2, threads, split, ahead: 1 },
      { batch: 8, k: 264, n: 41, dtype: 'f16', norm: true, beta: true, rows: 4, threads, split, ahead: 1, done: [3] },
    ]),
  ),
];

for (const c of cases) test(JSON.stringify(c), () => compare(c));

// Folded without a pivot, LayerNorm would lose digits with the square of mean/std: two are left at
// a mean of 100 std, none at 1000.
for (const [ratio, share] of [
  [0, 3e-6],
  [10, 3e-6],
  [100, 3e-6],
  [1000, 3e-6],
] as const) {
  test(`a mean of ${ratio} standard deviations leaves errors below ${share} of the outputs`, async () => {
    const [n, k] = [33, 192];
    const layer = await randomLinear(device, n, k, 'f32', { norm: true });
    const xs = randomFloats(k, 1, Math.sqrt(3)).map((v) => v + ratio); // std 1
    const [x, y] = [await upload(xs, [1, k]), await upload(filled(n), [1, n])];
    const state = stateOf(device, [{}]);
    const program = await record(device, (r) => linearDecode(r, y, x, layer.gpu, state), { label: 'offset' });
    program.run();
    const { values, allowed } = folded(xs, layer, 1);
    const size = Math.sqrt(values.reduce((a, v) => a + v * v, 0) / n);
    const actual = await download(y);
    assertWithin(actual, values, allowed, 'bound');
    assertWithin(
      actual,
      values,
      values.map(() => share * size),
      'share',
    );
    program.dispose();
    await freeLinear(layer);
    await free(x, y, state);
  });
}

test('rows without variance stay finite', async () => {
  const [n, k] = [33, 192];
  const layer = await randomLinear(device, n, k, 'f32', { norm: true });
  const values = [0, 1, -3, 1000.1];
  const [x, y] = [
    await upload(
      Float32Array.from({ length: 4 * k }, (_, i) => values[Math.floor(i / k)]!),
      [4, k],
    ),
    await upload(filled(4 * n), [4, n]),
  ];
  const state = stateOf(device, [{}, {}, {}, {}]);
  const program = await record(device, (r) => linearDecode(r, y, x, layer.gpu, state), { label: 'constant' });
  program.run();
  const actual = await download(y);
  assert.ok(actual.every(Number.isFinite));
  assertWithin(actual.subarray(0, n), new Float32Array(n), new Float32Array(n), 'zeros have nothing to normalise');
  program.dispose();
  await freeLinear(layer);
  await free(x, y, state);
});

test('a layer without its terms, and shapes that do not fit, are refused', async () => {
  const layer = await randomLinear(device, 6, 8, 'f16', { norm: true, bias: true });
  const [x, y] = [await upload(filled(16), [2, 8]), await upload(filled(12), [2, 6])];
  const state = stateOf(device, [{}, {}]);
  const refuses = async (
    message: RegExp,
    ...args: [
      Parameters<typeof linearDecode>[1],
      Parameters<typeof linearDecode>[2],
      Parameters<typeof linearDecode>[3],
      { window?: RowWindow }?,
    ]
  ): Promise<void> => {
    const [to, from, w, options] = args;
    const error = await record(device, (r) => linearDecode(r, to, from, w, state, options), { label: 'refused' }).catch(
      (e: unknown) => e,
    );
    assert.instance(error, ShapeError);
    assert.match((error as Error).message, message);
  };
  await refuses(/has a LayerNorm or a bias but no terms, expected \(2, 6\)/, y, x, { ...layer.gpu, terms: null });
  await refuses(/y \(test\) has shape \(2, 6\), expected \(2, 3\)/, y, x, layer.gpu, {
    window: { even: 0, odd: 3, count: 3 },
  });
  await refuses(/x \(test\) has shape \(2, 6\), expected \(2, 8\)/, y, y, layer.gpu);
  await freeLinear(layer);
  await free(x, y, state);
});

test.run();
