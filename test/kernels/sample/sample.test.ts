// Sampling on the GPU against HF's filters in f64 (kernels/sample/reference.ts): the drawn
// distribution, the very draw, and what becomes of the state.
// Needs: a device, on processors and default.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { gumbel, threefry2x32, type Words } from '../../../kernels/sample/random.ts';
import type { Sampling } from '../../../kernels/sample/sample.ts';
import { profile } from '../../device.ts';
import { randomFloats } from '../../random.ts';
import { expectedDraw, filtered } from '../../../kernels/sample/reference.ts';
import { chiSquare, gammaQ } from './chi_square.ts';
import { sampler, plain, rowsOf } from './sampler.ts';

const isSlow = profile === 'swiftshader';

const random = suite('random numbers');

random('threefry2x32 gives the known answers of Random123', () => {
  const hex = ([a, b]: Words): string => `${a.toString(16)} ${b.toString(16)}`;
  assert.is(hex(threefry2x32([0, 0], [0, 0])), '6b200159 99ba4efe');
  assert.is(hex(threefry2x32([0xffffffff, 0xffffffff], [0xffffffff, 0xffffffff])), '1cb996fc bb002be7');
  assert.is(hex(threefry2x32([0x13198a2e, 0x03707344], [0x243f6a88, 0x85a308d3])), 'c4923a9c 483df7a0');
});

random('gumbel is finite at both ends and has the mean and variance of the distribution', () => {
  assert.ok(Number.isFinite(gumbel(0)) && Number.isFinite(gumbel(0xffffffff)));
  const n = 100_000;
  const draws = Array.from({ length: n }, (_, i) => gumbel(threefry2x32([3, 4], [0, i])[0]));
  const mean = draws.reduce((a, b) => a + b) / n;
  const variance = draws.reduce((a, b) => a + (b - mean) ** 2, 0) / n;
  assert.ok(Math.abs(mean - 0.5772157) < 0.02, `mean ${mean}`);
  assert.ok(Math.abs(variance - Math.PI ** 2 / 6) < 0.05, `variance ${variance}`);
});

random('the χ² test knows published quantiles and the HF example of top-p', () => {
  // 95 % quantiles: χ²(1) 3.841459, χ²(10) 18.307038, χ²(100) 124.342113.
  for (const [df, quantile] of [
    [1, 3.841459],
    [10, 18.307038],
    [100, 124.342113],
  ] as const)
    assert.ok(Math.abs(gammaQ(df / 2, quantile / 2) - 0.05) < 1e-7);
  const kept = filtered([2, 1.5, 1, 0.5, 0, -1, -2, -3], { temperature: 0.7, topK: null, topP: 0.7 });
  assert.equal(
    Array.from(kept, (p) => p.toFixed(5)),
    ['0.67135', '0.32865', ...Array(6).fill('0.00000')],
  );
});

random.run();

const test = suite('sample');

test('greedy is the argmax, the lowest index on ties', async () => {
  const batches = [1, 2, 3, 4, 5];
  for (const [at, count] of [1, 2, 63, 64, 65, 257, 1000, 1024, 10001].entries()) {
    const batch = batches[at % 5]!;
    const s = await sampler(batch, count, 1);
    const values = randomFloats(batch * count, count, 5);
    const expected = Array.from({ length: batch }, (_, b) => {
      const row = values.subarray(b * count, (b + 1) * count);
      const first = (b * 7919) % count;
      if (b > 0) for (const i of [first, (first + 1) % count, count - 1]) row[i] = 6; // ties
      return row.indexOf(Math.max(...row));
    });
    const got = await s.run(plain(count, { temperature: null, topK: 3, topP: 0.5 }), values, rowsOf(batch));
    assert.equal(
      got.tokens.map((t) => t[0]),
      expected,
      `count ${count}`,
    );
    const zeros = Float32Array.from({ length: count }, (_, i) => (i === 0 ? -0 : 0));
    assert.equal(
      (await s.run(plain(count, { temperature: null }), zeros, rowsOf(batch))).tokens.map((t) => t[0]),
      Array(batch).fill(0),
    );
    s.free();
  }
});

const COMBINATIONS: { temperature: number; topK: number | null; topP: number | null }[] = [
  { temperature: 1, topK: null, topP: null },
  { temperature: 0.7, topK: null, topP: null },
  { temperature: 0.7, topK: 50, topP: null },
  { temperature: 0.7, topK: 1, topP: null },
  { temperature: 1.3, topK: null, topP: 0.8 },
  { temperature: 0.7, topK: null, topP: 0.999 },
  { temperature: 0.7, topK: 20, topP: 0.9 },
  { temperature: 2.5, topK: 7, topP: 0.35 },
  { temperature: 1, topK: null, topP: 1e-6 },
  { temperature: 1, topK: 1_000_000, topP: 1 },
];

test("draws exactly what the formula gives, over survivors of HF's filters", async () => {
  let [compared, close] = [0, 0];
  for (const [count, most] of [
    [1, 3],
    [2, 40],
    [63, 40],
    [64, 40],
    [65, 40],
    [257, 40],
    [1000, 25],
    [1024, 25],
    [10001, 6],
  ] as const) {
    const batch = 2;
    const steps = isSlow ? Math.min(most, 2) : most;
    const s = await sampler(batch, count, steps);
    for (const [at, filters] of COMBINATIONS.entries()) {
      const values = randomFloats(batch * count, 31 * count + at, at % 2 ? 6 : 1.5);
      const rows = rowsOf(batch, { seed: [0xdeadbeef + at, count] });
      const got = await s.run(plain(count, filters), values, rows, steps);
      for (let b = 0; b < batch; b++) {
        const probabilities = filtered(values.subarray(b * count, (b + 1) * count), filters);
        for (let step = 0; step < steps; step++) {
          const { index, gap } = expectedDraw(probabilities, rows[b]!.seed, step);
          if (gap < 1e-4) close++;
          else
            assert.is(
              got.tokens[b]![step],
              index,
              `count ${count}, ${JSON.stringify(filters)}, row ${b}, step ${step}, gap ${gap}`,
            );
          compared++;
        }
      }
    }
    s.free();
  }
  assert.ok(close < compared / 100, `${close} of ${compared} draws were too close to call`);
});

test("the drawn distribution is the reference's filtered one (χ²), and no other", async () => {
  if (isSlow) return console.log('skipped: many draws on this profile; the other two run the same shader');
  const [count, batch, steps] = [70, 64, 128];
  const s = await sampler(batch, count, steps);
  const values = randomFloats(count, 5, 3.2);
  let told = 0;
  const draw = async (settings: Partial<Sampling>): Promise<number[]> =>
    (await s.run(plain(count, settings), values, rowsOf(batch), steps)).tokens.flatMap((t) => [...t]);
  for (const filters of COMBINATIONS.filter((_, i) => [1, 2, 4, 6, 7].includes(i))) {
    const drawn = await draw(filters);
    const expected = filtered(values, filters);
    const p = chiSquare(drawn, expected);
    assert.ok(p > 1e-4, `${JSON.stringify(filters)}: p ${p}`);
    const survivors = expected.filter((q) => q > 0).length;
    if (expected.every((q) => q === 0 || q * drawn.length > 15))
      assert.is(new Set(drawn).size, survivors, `${JSON.stringify(filters)}: every survivor is drawn`);
    // The same draws against distributions that are off, wherever so many draws can tell (by the
    // expected χ²).
    const warmer = filtered(values, { ...filters, temperature: 1.1 * filters.temperature });
    const distance = warmer.reduce((sum, q, i) => sum + (q === 0 ? 0 : (expected[i]! - q) ** 2 / q), 0) * drawn.length;
    if (distance > survivors + 60) told++;
    if (distance > survivors + 60)
      assert.ok(
        chiSquare(drawn, warmer) < 1e-4,
        `${JSON.stringify(filters)}: temperature + 10 %, expected χ² ${distance}`,
      );
    if (filters.topK === 20)
      assert.ok(chiSquare(drawn, filtered(values, { ...filters, topP: null })) < 1e-4, 'without top-p');
    if (filters.topK === 50)
      assert.ok(chiSquare(drawn, filtered(values, { ...filters, topK: 40 })) < 1e-4, 'another k');
  }
  assert.ok(told >= 2, `${told} of the distributions could be told from one 10 % warmer`);
  s.free();
});

test('rare tokens are drawn as often as they should be', async () => {
  if (isSlow) return console.log('skipped: many draws on this profile; the other two run the same shader');
  // One likely token and 5,000 that share 2 %: each wins only through the far tail of its random
  // number.
  const [count, batch, steps] = [5001, 16, 128];
  const s = await sampler(batch, count, steps);
  const values = new Float32Array(count).fill(Math.log(0.02 / 5000));
  values[0] = Math.log(0.98);
  const drawn = (await s.run(plain(count), values, rowsOf(batch), steps)).tokens.flatMap((t) => [...t]);
  const rare = Float64Array.of(0.98, 0.02);
  assert.ok(
    chiSquare(
      drawn.map((i) => Math.min(i, 1)),
      rare,
    ) > 1e-4,
    `${drawn.filter((i) => i > 0).length} of ${drawn.length}`,
  );
  s.free();
});

test('equal logits stay together: at the edge of top-k as in HF, at the edge of top-p by our rule', async () => {
  const [count, batch, steps] = [8, 16, 60];
  const s = await sampler(batch, count, steps);
  const draw = async (values: number[], settings: Partial<Sampling>): Promise<number[]> => {
    const { tokens } = await s.run(plain(count, settings), Float32Array.from(values), rowsOf(batch), steps);
    return [...new Set(tokens.flatMap((t) => [...t]))].sort();
  };
  assert.equal(await draw([1, 0, 2, 0, 1, 1, 0, 0], { topK: 2 }), [0, 2, 4, 5]);
  assert.equal(await draw([0, -0, 0, -0, -1, -1, -1, -1], { topK: 2 }), [0, 1, 2, 3]);
  assert.equal(await draw([-5, -5, -5, -5, -5, -5, -5, -5], { topK: 3, topP: 0.5 }), [0, 1, 2, 3, 4, 5, 6, 7]);
  // p = .4, .2, .2, .2, 0…: HF keeps 0 and two of the others at 0.7; all three stay here.
  const p = [0.4, 0.2, 0.2, 0.2].map(Math.log);
  assert.equal(await draw([...p, -40, -40, -40, -40], { topP: 0.7 }), [0, 1, 2, 3]);
  assert.equal(await draw([...p, -40, -40, -40, -40], { topP: 0.39 }), [0]);
  s.free();
});

test.run();
