// Counters are exact on any machine: what a decoded token costs, and which prefills the coarse
// stage leaves out.
// Needs: a device, on wasm and default.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { BarkModel } from '../../bark/model.ts';
import { VoicePreset } from '../../bark/processor/voice_preset.ts';
import type { Device } from '../../runtime/compute/device.ts';
import type { Counters } from '../../runtime/compute/ledger.ts';
import { Recorder } from '../../runtime/compute/program.ts';
import { testDevice } from '../device.ts';
import { openFixture, stagesOf, temporaryFolder } from './models.ts';
import { readFixture, type Fixture, type FixtureRun } from '../fixtures/fixture.ts';
import { writeModelFolder } from '../fixtures/write_model.ts';

const test = suite('counters');

const LIKELIEST = { temperature: null, topK: null, topP: null } as const;
const SEED = [1, 2] as const;

/** What `body` added to the device's counters. */
async function counted(device: Device, body: () => Promise<unknown>): Promise<Counters> {
  const before = { ...device.counters };
  await body();
  return Object.fromEntries(
    Object.entries(device.counters).map(([key, value]) => [key, value - before[key as keyof Counters]]),
  ) as unknown as Counters;
}

const minus = (a: Counters, b: Counters): Counters =>
  Object.fromEntries(
    Object.entries(a).map(([key, value]) => [key, value - b[key as keyof Counters]]),
  ) as unknown as Counters;

/** A model without an end that it could draw, and with room for 80 tokens. */
function endless(): Fixture {
  const fixture = readFixture('base');
  const semantic_config = { ...fixture.config.semantic_config, block_size: 17 + 80 };
  return { ...fixture, config: { ...fixture.config, semantic_config } };
}

test('a semantic token is 5 dispatches a layer and 4 at most, and nothing else', async () => {
  const device = await testDevice();
  const { semantic, generation } = stagesOf(device, endless(), 'f16');
  const length = generation.semantic_config.max_input_semantic_length;
  for (const batch of [1, 3]) {
    const inputs = {
      inputIds: new Int32Array(batch * length).fill(7),
      attentionMask: new Int32Array(batch * length).fill(1),
      shape: [batch, length] as const,
      history: new Array<null>(batch).fill(null),
    };
    const say = (maxNewTokens: number) => async () => {
      const { tokens } = await semantic.generate(inputs, {
        ...LIKELIEST,
        minEosP: null,
        maxNewTokens,
        seeds: inputs.history.map(() => SEED),
      });
      assert.equal(
        tokens.map((row) => row.length),
        inputs.history.map(() => maxNewTokens),
      );
    };
    await say(80)(); // compiles, and makes the buffers that tokens come back in
    const [short, long] = [await counted(device, say(40)), await counted(device, say(80))];
    const { dispatches, passes, submits, readbacks, ...rest } = minus(long, short);
    const perToken = dispatches / 40;
    assert.ok(Number.isInteger(perToken), `${perToken} dispatches a token`);
    assert.ok(perToken <= 5 * semantic.config.num_layers + 4, `${perToken} dispatches a token`);
    // 40 tokens came in 4 submits of up to 16 steps (the first is of one), 80 in 6; each is a pass,
    // and its state is looked at once.
    assert.is(passes, 2);
    assert.is(readbacks, 2);
    assert.is(submits, 4);
    // The buffer that tokens come back in has 40 more tokens a row; nothing else is made, and
    // nothing is sent.
    assert.equal(rest, {
      bindGroups: 0,
      pipelines: 0,
      buffers: 0,
      bufferBytes: 4 * 40 * batch,
      uploads: 0,
      uploadBytes: 0,
    });
  }
  semantic.unload();
});

test('a coarse token is as many, and reads nothing back before the end', async () => {
  const device = await testDevice();
  const fixture = readFixture('constants_50'); // one window of 100 tokens
  const { coarse } = stagesOf(device, fixture, 'f16');
  const say = (semantic: number, length: number) => async () => {
    const [ids] = await coarse.generate(
      { semantic: [new Int32Array(semantic).fill(3)], history: [null] },
      { ...LIKELIEST, strictMask: true, seeds: [SEED] },
    );
    assert.is(ids!.length, length);
  };
  await say(20, 80)();
  const [short, long] = [await counted(device, say(10, 40)), await counted(device, say(20, 80))];
  const { dispatches, passes, submits, ...rest } = minus(long, short);
  const perToken = dispatches / 40;
  assert.ok(
    Number.isInteger(perToken) && perToken <= 5 * coarse.config.num_layers + 4,
    `${perToken} dispatches a token`,
  );
  assert.equal([passes, submits], [2, 2], '20 tokens a submit');
  assert.equal(rest, {
    bindGroups: 0,
    pipelines: 0,
    buffers: 0,
    bufferBytes: 4 * 40,
    uploads: 0,
    uploadBytes: 0,
    readbacks: 0,
  });
  coarse.unload();
});

/**
 * Prefills that the specification's rules ask for (9.4): the first window's, and those of windows
 * whose semantic slice has moved or whose coarse history has outgrown its room. `prompts` is the
 * prompt length of each window as transformers built it.
 */
function neededPrefills(fixture: Fixture, run: FixtureRun): number {
  const { coarse_acoustics_config, semantic_config } = fixture.generation_config as {
    coarse_acoustics_config: Record<string, number>;
    semantic_config: Record<string, number>;
  };
  const {
    max_coarse_history = 0,
    sliding_window_len = 0,
    coarse_rate_hz = 0,
    n_coarse_codebooks = 2,
    max_coarse_input_length = 0,
  } = coarse_acoustics_config;
  const ratio = (coarse_rate_hz / semantic_config['semantic_rate_hz']!) * n_coarse_codebooks;
  const { coarse_prompts, semantic_history, coarse_history } = run.expected.plan;
  const even = (x: number) => (x % 1 === 0.5 ? 2 * Math.round(x / 2) : Math.round(x));
  const slice = (window: number) =>
    Math.max(
      0,
      semantic_history + even((window * sliding_window_len) / ratio) - Math.floor(max_coarse_history / ratio),
    );
  return coarse_prompts.filter((prompt, window) => {
    const past = coarse_history + window * sliding_window_len;
    assert.is(prompt, max_coarse_input_length + 1 + Math.min(max_coarse_history, past), "transformers' prompt");
    return window === 0 || slice(window) !== slice(window - 1) || past > max_coarse_history;
  }).length;
}

test('the coarse prefill is left out wherever the window has not moved', async () => {
  const device = await testDevice();
  const seen = new Set<string>();
  for (const name of ['base', 'histories', 'constants', 'constants_50', 'one_token', 'fine_windows']) {
    const fixture = readFixture(name);
    const { coarse } = stagesOf(device, fixture, 'f32');
    for (const run of fixture.runs) {
      const inputs = {
        semantic: run.expected.semantic.map((row) => Int32Array.from(row)),
        history: [run.history && VoicePreset.from(run.history)],
      };
      let ids: Int32Array[] = [];
      const say = async () => (ids = await coarse.generate(inputs, { ...LIKELIEST, strictMask: false, seeds: [SEED] }));
      await coarse.upload();
      const { passes } = await counted(device, say);
      assert.equal([...ids[0]!], run.expected.coarse[0], `${name}/${run.name}`);
      // A pass is a prefill, or up to 20 steps within a window.
      const { sliding_window_len } = coarse.generation_config;
      const steps = run.expected.plan.coarse_prompts.reduce(
        (sum, _, window) =>
          sum + Math.ceil(Math.min(sliding_window_len, ids[0]!.length - window * sliding_window_len) / 20),
        0,
      );
      const needed = neededPrefills(fixture, run);
      assert.is(
        passes - steps,
        needed,
        `${name}/${run.name}: prefills of ${run.expected.plan.coarse_prompts.length} windows`,
      );
      seen.add(needed === run.expected.plan.coarse_prompts.length ? 'all' : needed === 1 ? 'first' : 'some');
    }
    coarse.unload();
  }
  assert.equal([...seen].sort(), ['all', 'first', 'some'], 'the fixtures have all three kinds');
});

test('behind a voice the last layer and the head of a fine pass are computed for the frames that are drawn, and no others', async () => {
  const device = await testDevice();
  const fixture = readFixture('histories');
  const { fine } = stagesOf(device, fixture, 'f32');
  const run = fixture.runs.find(({ name }) => name === 'limited_by_max')!;
  const { max_fine_input_length: M, max_fine_history_length: past } = fine.generation_config.fine_acoustics_config;
  const voice = VoicePreset.from(run.history!);
  const columns = run.expected.fine[0]!.length - 2;
  const coarse = Int32Array.from(run.expected.fine[0]!.slice(0, 2).flat());
  const rows: number[] = []; // of each product that is recorded; the tiles' height says how many there are
  const { dispatch } = Recorder.prototype;
  await fine.upload(); // its products are recorded too
  Recorder.prototype.dispatch = function (shader, options) {
    const y = options.bind['y'];
    if (shader.name.startsWith('linear') && y && 'shape' in y) rows.push(y.shape[0]!);
    return dispatch.call(this, shader, options);
  };
  try {
    for (const [history, drawn] of [
      [null, M],
      [voice.fine_prompt, M - past],
    ] as const) {
      rows.length = 0;
      await fine.generate(coarse, history, { temperature: null, seed: SEED });
      const layer = (m: number) => [m, m, m];
      // The blocks are recorded once for all codebooks, and a head for each.
      assert.equal(rows, [
        ...Array.from({ length: fine.config.num_layers - 1 }, () => layer(M)).flat(),
        ...layer(drawn),
        ...Array.from({ length: columns }, () => drawn),
      ]);
    }
  } finally {
    Recorder.prototype.dispatch = dispatch;
  }
  fine.unload();
});

test('a second sentence compiles nothing', async () => {
  const { model, processor } = await openFixture(readFixture('batch'), { device: await testDevice() });
  const say = async (text: string[]) => model.generate(await processor.encode(text), { seed: 3, minEosP: null });
  const [first, second] = [readFixture('batch').runs[1]!.text, readFixture('batch').runs[0]!.text.slice(0, 2)];
  await say(first);
  const { pipelines, uploadBytes } = await counted(model.device, () => say(second));
  assert.is(pipelines, 0);
  assert.ok(uploadBytes < 64 * 2 ** 10, `${uploadBytes} bytes sent: prompts and settings, no weights`);
  model.dispose();
});

test('loading compiles what the first sentence needs, so that its first token is not late', async () => {
  const folder = temporaryFolder();
  await writeModelFolder(folder, readFixture('heads_64_128_16'));
  const model = await BarkModel.fromPretrained(folder, { device: await testDevice(), dtype: 'float16' });
  const { BarkProcessor } = await import('../../bark/processor/processor.ts');
  const inputs = await (
    await BarkProcessor.fromPretrained(folder)
  ).encode(readFixture('heads_64_128_16').runs[0]!.text);
  const { pipelines } = await counted(model.device, () => model.generate(inputs, { seed: 1 }));
  assert.is(pipelines, 0);
  model.dispose();
});

test.run();
