// `bench --tune` with choices made up for it: whatever a variant gets wrong, it is dropped and
// told; what is faster is remembered; time that is up is up. How fast real kernels are is not
// judged here. BARK_TEST_FULL=1 tunes this adapter in earnest.
// Needs: a device.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { tune, tuneTable, type Tuned, type TuneOptions } from '../../../bench/tune/tune.ts';
import { KNOBS, type Knob } from '../../../bench/tune/tune_cases.ts';
import { filled, series } from '../../../bench/model/values.ts';
import { choices, valuesOf } from '../../../kernels/common/choices.ts';
import { linear } from '../../../kernels/linear/linear.ts';
import { createUniform, writeCall } from '../../../kernels/state.ts';
import { USAGE } from '../../../runtime/compute/backend.ts';
import { rememberedTuning } from '../../../runtime/compute/tuning_file.ts';
import { testDevice } from '../../device.ts';

const test = suite('tune');
const folder = mkdtempSync(join(tmpdir(), 'bark-tune-'));
const before = process.env['BARK_TUNING'];
test.before.each(() => void (process.env['BARK_TUNING'] = join(folder, 'tuning.json')));
test.after(() => {
  if (before === undefined) delete process.env['BARK_TUNING'];
  else process.env['BARK_TUNING'] = before;
  rmSync(folder, { recursive: true, force: true });
});

/** A product that is done `standard` if the tuning names no other way. */
const toy = (key: string, standard: string, values: readonly string[]): Knob => ({
  key,
  values: () => values,
  current: (device) => device.tuning[key] ?? standard,
  cases: () => [
    (device, owner) => {
      const [x, w, other] = [
        filled(device, series(1), [70, 64], 'f32', owner, 'x'),
        filled(device, series(2), [40, 64], 'f16', owner, 'w'),
        filled(device, series(3), [40, 64], 'f16', owner, 'w'),
      ];
      const [y, elsewhere] = [
        device.createTensor([70, 40], 'f32', owner, 'y'),
        device.createTensor([70, 40], 'f32', owner, 'elsewhere'),
      ];
      // an error of the device, told late
      const unbindable = { ...y, buffer: device.createBuffer(y.buffer.size, USAGE.COPY_DST, owner) };
      const call = (count: number) => {
        const made = createUniform(device, 3, owner, 'call');
        writeCall(device, made, { count });
        return made;
      };
      const [all, some] = [call(70), call(69)];
      const part = { weight: w, bias: null };
      return {
        outputs: [y],
        record(r) {
          const way = r.device.tuning[key] ?? standard;
          if (way === 'throws') throw new Error('no such kernel');
          if (way === 'other weights') linear(r, y, x, { weight: other, bias: null }, all);
          else if (way === 'other place') linear(r, elsewhere, x, part, all);
          else if (way === 'one row less') linear(r, y, x, part, some);
          else
            for (let i = 0; i < (way === 'slow' ? 50 : way === 'slower' ? 100 : 1); i++)
              linear(r, way === 'invalid' ? unbindable : y, x, part, all);
        },
      };
    },
  ],
});

async function tuned(knobs: readonly Knob[], options: TuneOptions = {}): Promise<{ results: Tuned[]; file: string }> {
  const results: Tuned[] = [];
  const file = await tune(
    (result) => results.push(result),
    () => {},
    { seconds: 20, repeats: 3, knobs, ...options },
  );
  return { results, file };
}

test('a variant with wrong outputs is dropped and reported, the fastest right one is chosen and stored', async () => {
  const device = await testDevice();
  const { results, file } = await tuned([
    toy('way', 'slow', ['other weights', 'slower', 'other place', 'fast', 'one row less', 'throws', 'slow']),
  ]);
  assert.is(file, process.env['BARK_TUNING']);
  const [result] = results as [Tuned];
  assert.equal(
    [result.suite, result.knob, result.default, result.chosen, result.adapter, result.file],
    ['tune', 'way', 'slow', 'fast', device.name, file],
  );
  assert.ok(result.speedup > 5, `${result.speedup}`);
  const of = (value: string) => result.candidates.find((candidate) => candidate.value === value)!;
  assert.is(result.candidates.length, 7);
  for (const value of ['slow', 'slower', 'fast']) assert.ok(of(value).ms! > 0 && of(value).note === null, value);
  for (const value of ['other weights', 'other place', 'one row less'])
    assert.ok(
      of(value).ms === null && /^wrong: y has (NaN|-?[\d.]+) at \d+, the default -?[\d.]+/.test(of(value).note!),
      `${value}: ${of(value).note}`,
    );
  assert.equal([of('throws').ms, of('throws').note], [null, 'no such kernel']);
  assert.equal(await rememberedTuning(device.info), { way: 'fast' });
  assert.match(tuneTable(results), /^way +fast \([\d.]+ × slow\) +slow: [\d.]+ ms · other weights: wrong: /m);
  assert.is(JSON.parse(JSON.stringify(result)).candidates.length, 7);
});

test('without something faster the default stays, and a variant that makes the same dispatches is not timed', async () => {
  const device = await testDevice();
  const { results } = await tuned([toy('way', 'fast', ['slower', 'the same'])]);
  assert.equal(
    results.map(({ chosen, speedup }) => [chosen, speedup]),
    [['fast', 1]],
  );
  assert.equal(
    results[0]!.candidates.map(({ value, note }) => [value, note]),
    [
      ['fast', null],
      ['the same', 'the same kernels'],
      ['slower', null],
    ],
  );
  assert.equal(await rememberedTuning(device.info), {});
});

test('a variant that breaks the device costs that choice only', async () => {
  const { results } = await tuned([toy('one', 'slow', ['invalid', 'fast']), toy('two', 'slow', ['fast'])]);
  assert.equal(
    results.map(({ knob, chosen }) => [knob, chosen]),
    [
      ['one', 'slow'],
      ['two', 'fast'],
    ],
  );
  assert.match(results[0]!.candidates.find(({ value }) => value === 'invalid')!.note!, /^WebGPU on /);
});

test('when time is up the rest keeps its default, also in the middle of compiling', async () => {
  const device = await testDevice();
  for (const seconds of [0, 0.05]) {
    const start = performance.now();
    const { results } = await tuned(KNOBS, { seconds });
    assert.ok(performance.now() - start < 5000, `${performance.now() - start} ms`);
    assert.equal(
      results.map(({ knob }) => knob),
      KNOBS.map(({ key }) => key),
    );
    for (const { knob, chosen, default: standard, candidates } of results) {
      assert.is(chosen, standard);
      if (seconds === 0)
        assert.equal(candidates, [{ value: chosen, ms: null, speedup: null, note: 'no time left' }], knob);
    }
  }
  assert.equal(await rememberedTuning(device.info), {});
});

test('nothing is measured that could not be remembered', async () => {
  process.env['BARK_TUNING'] = 'off';
  const error: unknown = await tuned(KNOBS).then(
    () => assert.unreachable(),
    (caught: unknown) => caught,
  );
  assert.match((error as Error).message, /BARK_TUNING: got off/);
});

test('every kernel choice can be tuned, and its default is one of its values', async () => {
  const device = await testDevice();
  assert.equal(KNOBS.map(({ key }) => key).sort(), Object.keys(choices(device)).sort());
  for (const knob of KNOBS) {
    assert.equal(knob.values(device), valuesOf(device, knob.key));
    assert.ok(knob.values(device).includes(knob.current(device)), `${knob.key}: ${knob.current(device)}`);
  }
});

test('no variant of a real kernel differs from its default on this adapter', async () => {
  if (!process.env['BARK_TEST_FULL']) return console.log('skip: tuning in earnest takes 30 s (BARK_TEST_FULL=1)');
  const { results } = await tuned(KNOBS, { seconds: 25 });
  for (const { knob, candidates, chosen } of results) {
    assert.ok(
      candidates.some(({ value }) => value === chosen),
      knob,
    );
    for (const { value, note } of candidates) assert.not.match(note ?? '', /wrong/, `${knob} ${value}`);
  }
});

test.run();
