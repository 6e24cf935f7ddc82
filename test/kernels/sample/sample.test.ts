// Sampling on the GPU against HF's filters in f64 (sampling_reference.ts): the drawn distribution,
// the very draw, and what becomes of the state.
// Needs: a GPU, on default, portable and swiftshader.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { gumbel, threefry2x32, type Words } from '../../../kernels/sample/random.ts';
import { sample, SAMPLING_WORDS, samplingParams, type Sampling } from '../../../kernels/sample/sample.ts';
import { USAGE, type Device } from '../../../runtime/compute/device.ts';
import { record } from '../../../runtime/compute/program.ts';
import type { Tensor } from '../../../runtime/compute/tensor.ts';
import { profile, testDevice } from '../../device.ts';
import { randomFloats, uniform } from '../../random.ts';
import { eosWins, expectedDraw, filtered } from '../../../kernels/sample/reference.ts';
import { chiSquare, gammaQ } from './chi_square.ts';

const isSlow = profile === 'swiftshader';

interface Row {
  token: number;
  position: number;
  step: number;
  done: number;
  seed: Words;
  limit: number;
  base: number;
}
const ROW: Row = { token: 77, position: 5, step: 0, done: 0, seed: [1, 2], limit: 1e9, base: 0 };
const EMPTY = 0xffffffff;

/** A program that draws for `batch` rows of `count` logits, with its tensors. */
async function sampler(batch: number, count: number, pitch: number) {
  const device = await testDevice();
  const tensor = (shape: number[], dtype: 'f32' | 'u32', usage: number): Tensor => {
    const bytes = 4 * shape.reduce((a, b) => a * b);
    return {
      buffer: device.createBuffer(bytes, USAGE.STORAGE | USAGE.COPY_DST | USAGE.COPY_SRC | usage, 'test'),
      offset: 0,
      shape,
      dtype,
      label: 'test',
    };
  };
  const logits = tensor([batch, count], 'f32', 0);
  const tokens = tensor([batch, pitch], 'u32', 0);
  const state = tensor([batch, 8], 'u32', USAGE.UNIFORM);
  const sampling = tensor([SAMPLING_WORDS], 'u32', USAGE.UNIFORM);
  const program = await record(device, (r) => sample(r, tokens, logits, state, sampling), { label: 'sample' });
  return {
    /** Tokens and state after `times` steps; logits are those of one row for all, or of each. */
    async run(
      settings: Sampling,
      values: Float32Array,
      rows: Row[],
      times = 1,
    ): Promise<{ tokens: Uint32Array[]; rows: Row[] }> {
      const all = new Float32Array(batch * count);
      for (let b = 0; b < batch; b++)
        all.set(values.length === all.length ? values.subarray(b * count, (b + 1) * count) : values, b * count);
      device.write(logits, all);
      device.write(tokens, new Uint32Array(batch * pitch).fill(EMPTY));
      device.write(
        state,
        Uint32Array.from(rows.flatMap((r) => [r.token, r.position, r.step, r.done, ...r.seed, r.limit, r.base])),
      );
      device.write(sampling, samplingParams(settings));
      program.run(times);
      const drawn = new Uint32Array(await device.read(tokens));
      const s = new Uint32Array(await device.read(state));
      return {
        tokens: Array.from({ length: batch }, (_, b) => drawn.slice(b * pitch, (b + 1) * pitch)),
        rows: Array.from({ length: batch }, (_, b) => {
          const [token, position, step, done, s0, s1, limit, base] = s.subarray(8 * b, 8 * b + 8) as unknown as [
            number,
            number,
            number,
            number,
            number,
            number,
            number,
            number,
          ];
          return { token, position, step, done, seed: [s0, s1] as Words, limit, base };
        }),
      };
    },
    free(): void {
      program.dispose();
      for (const t of [logits, tokens, state, sampling]) device.destroyBuffer(t.buffer);
    },
  };
}

const plain = (count: number, settings: Partial<Sampling> = {}): Sampling => {
  const window = { first: 0, count };
  return { temperature: 1, topK: null, topP: null, minEosP: null, even: window, odd: window, eos: null, ...settings };
};
const rowsOf = (n: number, change: Partial<Row> = {}): Row[] =>
  Array.from({ length: n }, (_, b) => ({ ...ROW, seed: [1000 + b, 7 * b] as Words, ...change }));

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

test('min_eos_p: EOS is drawn above it, from raw probabilities, greedy or not', async () => {
  const count = 12;
  const s = await sampler(1, count, 1);
  const next = uniform(9);
  for (let i = 0; i < 60; i++) {
    const eos = Math.floor(count * next());
    const values = randomFloats(count, i, 2);
    const minEosP = 0.02 + 0.2 * next();
    const temperature = i % 3 === 0 ? null : 0.2 + 2 * next();
    const filters = { temperature: temperature ?? 1, topK: i % 2 ? 4 : null, topP: null };
    const wins = eosWins(values, eos, minEosP);
    const drawn =
      temperature === null
        ? values.indexOf(Math.max(...values))
        : expectedDraw(filtered(values, filters), ROW.seed, 0).index;
    const got = await s.run(plain(count, { ...filters, temperature, eos, minEosP }), values, [ROW]);
    assert.is(got.tokens[0]![0], wins ? eos : drawn, `case ${i}`);
    assert.is(got.rows[0]!.done, wins || drawn === eos ? 1 : 0, `case ${i}`);
  }
  s.free();
});

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
