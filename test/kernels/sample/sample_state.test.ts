// How sampling moves a sentence's state on: its end, its limit, windows of even and odd steps, and
// what a step costs.
// Needs: a device, on processors, default, portable and swiftshader.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Device } from '../../../runtime/compute/device.ts';
import { testDevice } from '../../device.ts';
import { randomFloats } from '../../random.ts';
import { filtered } from '../../../kernels/sample/reference.ts';
import { chiSquare } from './chi_square.ts';
import { ROW, EMPTY, sampler, plain, rowsOf } from './sampler.ts';

const test = suite('sample_state');

test('the same seed gives the same tokens alone and in a batch', async () => {
  const [count, batch, steps] = [300, 5, 20];
  const values = randomFloats(batch * count, 12, 2);
  const rows = rowsOf(batch);
  const settings = plain(count, { temperature: 0.8, topK: 50, topP: 0.95 });
  const [together, alone] = [await sampler(batch, count, steps), await sampler(1, count, steps)];
  const all = await together.run(settings, values, rows, steps);
  for (let b = 0; b < batch; b++) {
    assert.equal(
      (await alone.run(settings, values.subarray(b * count, (b + 1) * count), [rows[b]!], steps)).tokens[0],
      all.tokens[b],
    );
  }
  assert.not.equal(all.tokens[0], all.tokens[1]);
  together.free();
  alone.free();
});

test('a row ends at EOS or at its limit; a row that is done only steps', async () => {
  const [count, batch] = [9, 4];
  const s = await sampler(batch, count, 6);
  const values = new Float32Array(batch * count);
  for (let b = 0; b < batch; b++) values[b * count + [3, 8, 3, 3][b]!] = 4;
  const rows = [ROW, ROW, { ...ROW, limit: 2, base: 1 }, { ...ROW, done: 1 }];
  const got = await s.run(plain(count, { temperature: null, eos: 8 }), values, rows, 4);
  assert.equal(
    got.tokens.map((t) => [...t]),
    [
      [3, 3, 3, 3, EMPTY, EMPTY],
      [8, ...Array(5).fill(EMPTY)],
      [EMPTY, 3, 3, EMPTY, EMPTY, EMPTY],
      Array(6).fill(EMPTY),
    ],
  );
  assert.equal(got.rows, [
    { ...ROW, token: 3, position: 9, step: 4 },
    { ...ROW, token: 8, position: 5, step: 4, done: 1 },
    { ...ROW, token: 3, position: 6, step: 4, done: 1, limit: 2, base: 1 },
    { ...ROW, step: 4, done: 1 },
  ]);
  // A row of tokens that is full takes no more, and the next row keeps its own.
  const full = await s.run(
    plain(count, { temperature: null }),
    values,
    rows.map((r, b) => (b === 0 ? { ...r, base: 5 } : { ...r, done: 1 })),
    3,
  );
  assert.equal(
    full.tokens.map((t) => [...t]),
    [[...Array(5).fill(EMPTY), 3], ...Array(3).fill(Array(6).fill(EMPTY))],
  );
  s.free();
});

test('even and odd steps draw from their own windows', async () => {
  const [count, steps] = [20, 200];
  const s = await sampler(1, count, steps);
  const values = randomFloats(count, 3, 1);
  values[19] = 9; // outside both windows
  const settings = plain(count, {
    even: { first: 10000, count: 12 },
    odd: { first: 11024, count: 19 },
    topK: 10,
    temperature: 2,
  });
  const tokens = (await s.run(settings, values, [{ ...ROW, step: 0 }], steps)).tokens[0]!;
  const drawn = (parity: number, first: number): number[] =>
    [...tokens].filter((_, i) => i % 2 === parity).map((t) => t - first);
  for (const [parity, first, width] of [
    [0, 10000, 12],
    [1, 11024, 19],
  ] as const) {
    const expected = filtered(values.subarray(0, width), { temperature: 2, topK: 10, topP: null });
    assert.ok(chiSquare(drawn(parity, first), expected) > 1e-4, `parity ${parity}`);
  }
  s.free();
});

test('a step is one dispatch, and new settings make nothing', async () => {
  const device: Device = await testDevice();
  const s = await sampler(2, 50, 4);
  const before = { ...device.counters };
  await s.run(plain(50), randomFloats(50, 1), rowsOf(2), 2);
  await s.run(plain(50, { temperature: 0.3, topK: 4, topP: 0.5 }), randomFloats(50, 1), rowsOf(2), 2);
  const made = (key: 'bindGroups' | 'pipelines' | 'dispatches'): number => device.counters[key] - before[key];
  assert.equal([made('bindGroups'), made('pipelines'), made('dispatches')], [0, 0, 4]);
  s.free();
});

test.run();
