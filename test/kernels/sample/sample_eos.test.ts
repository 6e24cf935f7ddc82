// The two rules that end a sentence before its end token is drawn, suno's and transformers', on the
// GPU: against f64 (kernels/sample/reference.ts), and against what both rules say themselves
// (fixtures/eos).
// Needs: a device, on processors, default, portable and swiftshader.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Sampling } from '../../../kernels/sample/sample.ts';
import { eosWins, eosWinsRaw, expectedDraw, filtered } from '../../../kernels/sample/reference.ts';
import { profile } from '../../device.ts';
import { f32, readFixture } from '../../fixtures/fixture.ts';
import { randomFloats, uniform } from '../../random.ts';
import { ROW, sampler, plain } from './sampler.ts';

const isSlow = profile === 'swiftshader';

const test = suite('sample_eos');

test('min_eos_p_raw: EOS is drawn above it, from raw probabilities, greedy or not', async () => {
  const count = 12;
  const s = await sampler(1, count, 1);
  const next = uniform(9);
  for (let i = 0; i < 60; i++) {
    const eos = Math.floor(count * next());
    const values = randomFloats(count, i, 2);
    const minEosPRaw = 0.02 + 0.2 * next();
    const temperature = i % 3 === 0 ? null : 0.2 + 2 * next();
    const filters = { temperature: temperature ?? 1, topK: i % 2 ? 4 : null, topP: null };
    const wins = eosWinsRaw(values, eos, minEosPRaw);
    const drawn =
      temperature === null
        ? values.indexOf(Math.max(...values))
        : expectedDraw(filtered(values, filters), ROW.seed, 0).index;
    const got = await s.run(plain(count, { ...filters, temperature, eos, minEosPRaw }), values, [ROW]);
    assert.is(got.tokens[0]![0], wins ? eos : drawn, `case ${i}`);
    assert.is(got.rows[0]!.done, wins || drawn === eos ? 1 : 0, `case ${i}`);
  }
  s.free();
});

test('min_eos_p: EOS is drawn from it on, of the probabilities that are drawn from, and greedy changes nothing', async () => {
  const counts = { wins: 0, cut: 0, drawn: 0, other: 0 };
  for (const count of isSlow ? [41] : [12, 41, 1000]) {
    const s = await sampler(1, count, 1);
    const next = uniform(count);
    for (let i = 0; i < (isSlow ? 60 : 100); i++) {
      const eos = Math.floor(count * next());
      const values = randomFloats(count, 1000 * count + i, 2);
      values[eos]! += (i % 4) + (count > 41 ? 4 : 0); // else it is hardly ever near a threshold
      const minEosP = [0.02, 0.05, 0.2, 0.5][Math.floor(4 * next())]!;
      const filters = {
        temperature: 0.2 + 2 * next(),
        topK: i % 2 ? 3 + Math.floor(10 * next()) : null,
        topP: i % 3 ? 0.3 + 0.7 * next() : null,
      };
      const probabilities = filtered(values, filters);
      const { index: drawn, gap } = expectedDraw(probabilities, ROW.seed, 0);
      if (Math.abs(probabilities[eos]! - minEosP) < 1e-4 || gap < 1e-4) continue; // too close to call in f32
      const wins = eosWins(probabilities, eos, minEosP);
      const got = await s.run(plain(count, { ...filters, eos, minEosP }), values, [ROW]);
      const label = `count ${count}, case ${i}, p ${probabilities[eos]}, ${JSON.stringify({ eos, minEosP, ...filters })}`;
      assert.is(got.tokens[0]![0], wins ? eos : drawn, label);
      assert.is(got.rows[0]!.done, wins || drawn === eos ? 1 : 0, label);
      counts[probabilities[eos] === 0 ? 'cut' : wins && drawn !== eos ? 'wins' : drawn === eos ? 'drawn' : 'other']++;

      const greedy = await s.run(plain(count, { temperature: null, eos, minEosP }), values, [ROW]);
      assert.is(greedy.tokens[0]![0], values.indexOf(Math.max(...values)), `greedy: ${label}`);
    }
    s.free();
  }
  for (const [kind, times] of Object.entries(counts)) assert.ok(times >= 5, `${kind}: ${JSON.stringify(counts)}`);
});

test('min_eos_p reads equality, and EOS beyond the logits of a step ends nothing', async () => {
  const s = await sampler(1, 4, 1);
  const run = async (settings: Partial<Sampling>): Promise<boolean> =>
    (await s.run(plain(4, { eos: 3, ...settings }), new Float32Array(4), [ROW])).rows[0]!.done === 1;
  const drawn = expectedDraw(Float64Array.of(0.25, 0.25, 0.25, 0.25), ROW.seed, 0).index;
  assert.is.not(drawn, 3);
  assert.is(await run({ minEosP: 0.25 }), true, 'suno: at least');
  assert.is(await run({ minEosPRaw: 0.25 }), false, 'transformers: more than');
  assert.is(await run({ minEosP: 0.2501 }), false);
  assert.is(await run({ minEosPRaw: 0.2499 }), true);
  const three = { first: 0, count: 3 };
  assert.is(await run({ minEosP: 0.01, minEosPRaw: 0.01, even: three, odd: three }), false);
  s.free();
});

interface RuleCase {
  /** Little-endian f32 in base64; the last is the end's. */
  logits: string;
  temperature: number;
  top_k: number | null;
  top_p: number | null;
  min_eos_p: number;
  suno: { p: number; ends: boolean };
  transformers: { p: number; ends: boolean };
}

test("each rule ends the rows that suno's and transformers' own end, and leaves the draw of the others", async () => {
  const cases = readFixture<RuleCase[]>('eos/rules');
  const count = f32({ shape: [], f32: cases[0]!.logits }).length;
  const s = await sampler(1, count, 1);
  for (const [i, { logits, temperature, top_k: topK, top_p: topP, min_eos_p, ...rules }] of cases.entries()) {
    const values = f32({ shape: [count], f32: logits });
    const settings = { temperature, topK, topP, eos: count - 1 };
    const [suno] = filtered(values, settings).slice(-1);
    assert.ok(Math.abs(suno! - rules.suno.p) < 1e-5, `case ${i}: ${suno} and suno's ${rules.suno.p}`);
    const without = (await s.run(plain(count, settings), values, [ROW])).tokens[0]![0];
    for (const [rule, key] of [
      ['suno', 'minEosP'],
      ['transformers', 'minEosPRaw'],
    ] as const) {
      const got = await s.run(plain(count, { ...settings, [key]: min_eos_p }), values, [ROW]);
      const wanted = rules[rule].ends ? count - 1 : without;
      assert.is(got.tokens[0]![0], wanted, `case ${i}, ${rule}: ${JSON.stringify({ min_eos_p, ...rules[rule] })}`);
    }
  }
  s.free();
});

test.run();
