// Seeds and sampling options through the whole pipeline: the same seed says the same, alone or in a
// batch, whatever stands beside it; each stage listens to its own options; what must be greedy is.
// The drawn distribution itself is tested in test/kernels/sample.test.ts.
// Needs: a device, on wasm and default.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { BarkModel } from '../../bark/model.ts';
import type { GenerateOutput, RowTokens } from '../../bark/output.ts';
import type { GenerateOptions } from '../../bark/options.ts';
import type { BarkInputs } from '../../bark/processor/processor.ts';
import { filtered } from '../../kernels/sample/reference.ts';
import { testDevice } from '../device.ts';
import { GREEDY, openFixture, type Opened } from './models.ts';
import { readFixture } from '../fixtures/fixture.ts';

const test = suite('sampling');

const LIVELY: GenerateOptions = {
  temperature: 1,
  topK: null,
  topP: null,
  minEosP: null,
  fine: { temperature: 0.8 },
  doSample: true,
};
const fixture = readFixture('batch');
const { text, history } = fixture.runs.find((run) => run.name === 'three_voice')!;
const plain = (tokens: RowTokens) => ({
  semantic: [...tokens.semantic],
  coarse: [...tokens.coarse],
  fine: [...tokens.fine],
});

let opened: Promise<Opened> | undefined;
const open = () => (opened ??= testDevice().then((device) => openFixture(fixture, { device })));

/** What the model says of these rows, each with a voice or none. */
async function speak(
  rows: readonly { text: string; voice?: boolean }[],
  options: GenerateOptions,
  from = open(),
): Promise<GenerateOutput> {
  const { model, processor } = await from;
  return model.generate(
    await processor.encode(
      rows.map((row) => row.text),
      { voicePreset: rows.map((row) => (row.voice ? history : null)) },
    ),
    options,
  );
}

const ROWS = text.map((row, b) => ({ text: row, voice: b === 1 }));
const SEEDS = [11, 2 ** 40 + 5, 0];

for (const dtype of ['float32', 'float16'] as const) {
  test(`${dtype}: the same seed says the same alone, in a batch, in another order, and twice`, async () => {
    const model = dtype === 'float32' ? open() : testDevice().then((device) => openFixture(fixture, { device, dtype }));
    const batch = await speak(ROWS, { ...LIVELY, seed: SEEDS }, model);
    assert.equal(batch.seeds, SEEDS);
    const again = await speak(ROWS, { ...LIVELY, seed: SEEDS }, model);
    assert.equal(again.tokens.map(plain), batch.tokens.map(plain));
    assert.equal(
      again.audio.map(({ data }) => data),
      batch.audio.map(({ data }) => data),
    );

    const order = [2, 0, 1];
    const turned = await speak(
      order.map((b) => ROWS[b]!),
      { ...LIVELY, seed: order.map((b) => SEEDS[b]!) },
      model,
    );
    for (const [row, b] of order.entries())
      assert.equal(plain(turned.tokens[row]!), plain(batch.tokens[b]!), `row ${b} in another order`);

    for (const [b, row] of ROWS.entries()) {
      const alone = await speak([row], { ...LIVELY, seed: SEEDS[b]! }, model);
      assert.equal(plain(alone.tokens[0]!), plain(batch.tokens[b]!), `row ${b} alone`);
      assert.equal(alone.audio[0]!.data, batch.audio[b]!.data, `audio of row ${b} alone`);
    }
    if (dtype === 'float16') (await model).model.dispose();
  });
}

test('a batch that is larger than one program holds is the same rows, in order', async () => {
  const many = Array.from({ length: 19 }, (_, i) => ROWS[i % 3]!);
  // rows 17 and 18 repeat the seeds of rows 0 and 1, but not their texts
  const seeds = many.map((_, i) => 100 + (i % 17));
  const batch = await speak(many, { ...LIVELY, seed: seeds, semantic: { maxNewTokens: 4 } });
  assert.is(batch.tokens.length, 19);
  assert.equal(batch.seeds, seeds);
  for (const i of [3, 16, 17, 18]) {
    const alone = await speak([many[i]!], { ...LIVELY, seed: seeds[i]!, semantic: { maxNewTokens: 4 } });
    assert.equal(plain(batch.tokens[i]!), plain(alone.tokens[0]!), `row ${i}`);
  }
  const spoken = batch.tokens.findLastIndex(({ fine }) => fine.length > 0);
  assert.equal([...batch.voice(spoken).semantic_prompt], [...batch.tokens[spoken]!.semantic]);
  assert.throws(() => batch.voice(19), /got row 19, expected one from 0 to 18/);
});

test('other seeds say other things, and one seed for all rows makes equal rows equal', async () => {
  const seeds = Array.from({ length: 16 }, (_, i) => i);
  const spoken = await speak(
    seeds.map(() => ROWS[0]!),
    { ...LIVELY, seed: seeds },
  );
  // some end at once, and then they are the same
  const long = spoken.tokens.filter(({ semantic }) => semantic.length > 3);
  assert.ok(long.length >= 5);
  for (const stage of ['semantic', 'coarse', 'fine'] as const)
    assert.is(new Set(long.map((tokens) => tokens[stage].join())).size, long.length, stage);
  const same = await speak([ROWS[0]!, ROWS[0]!], { ...LIVELY, seed: 5 });
  assert.equal(plain(same.tokens[0]!), plain(same.tokens[1]!));
  assert.equal(plain(same.tokens[0]!), plain(spoken.tokens[5]!));

  const [a, b] = [await speak([ROWS[0]!], LIVELY), await speak([ROWS[0]!], LIVELY)];
  assert.is.not(a.seeds[0], b.seeds[0], 'without a seed');
  const repeated = await speak([ROWS[0]!], { ...LIVELY, seed: a.seeds[0]! });
  assert.equal(plain(repeated.tokens[0]!), plain(a.tokens[0]!), 'the seed that an output names says it again');
});

test("a stage's options reach that stage and no other", async () => {
  const tokens = async (options: GenerateOptions) =>
    plain((await speak([ROWS[1]!], { ...LIVELY, seed: 3, ...options })).tokens[0]!);
  const base = await tokens({});
  const fine = await tokens({ fine: { temperature: null } });
  assert.equal([fine.semantic, fine.coarse], [base.semantic, base.coarse]);
  assert.not.equal(fine.fine, base.fine);
  const coarse = await tokens({ coarse: { doSample: false } });
  assert.equal(coarse.semantic, base.semantic);
  assert.not.equal(coarse.coarse, base.coarse);
  const semantic = await tokens({ semantic: { topK: 2 } });
  assert.not.equal(semantic.semantic, base.semantic);
  assert.equal(
    await tokens({ temperature: 0.2, semantic: { temperature: 1 }, coarse: { temperature: 1 } }),
    base,
    'over the bare one',
  );
});

test('no temperature, the least temperature, the first of k and the least of p are greedy', async () => {
  const greedy = (await speak(ROWS, GREEDY)).tokens.map(plain);
  const settings: Record<string, GenerateOptions> = {
    'doSample false': { doSample: false, temperature: 0.7, topK: 3 },
    'temperature 1e-6': { doSample: true, temperature: 1e-6 },
    'topK 1': { doSample: true, topK: 1, temperature: 1 },
    'topP 1e-9': { doSample: true, topP: 1e-9, topK: null, temperature: 1 },
  };
  for (const [name, setting] of Object.entries(settings)) {
    const { tokens } = await speak(ROWS, {
      ...setting,
      minEosP: null,
      seed: 9,
      fine: { temperature: name === 'temperature 1e-6' ? 1e-6 : null },
    });
    assert.equal(tokens.map(plain), greedy, name);
  }
  const one = (await speak(ROWS, { ...GREEDY, fine: { temperature: 1 } })).tokens.map(plain);
  assert.equal(one, greedy, 'a fine temperature of exactly 1 draws nothing, as in transformers');
});

test('maxNewTokens cuts, says so, and what was said before is the same', async () => {
  const whole = (await speak([ROWS[0]!], GREEDY)).tokens[0]!.semantic;
  assert.ok(whole.length > 6);
  for (const maxNewTokens of [1, 2, 5, whole.length - 1]) {
    const { tokens, warnings } = await speak([ROWS[0]!], { ...GREEDY, semantic: { maxNewTokens } });
    assert.equal([...tokens[0]!.semantic], [...whole.slice(0, maxNewTokens)]);
    assert.match(warnings.join(), new RegExp(`cut at ${maxNewTokens} semantic tokens`));
  }
});

test('a warning of a cut advises no more tokens than the model says by itself', async () => {
  const { semantic_config } = (await open()).model.generation_config;
  const own = semantic_config.max_new_tokens;
  try {
    // fewer than there are positions for, and fewer than the sentence has
    semantic_config.max_new_tokens = 5;
    const warned = async (maxNewTokens?: number) =>
      (await speak([ROWS[0]!], { ...GREEDY, semantic: { maxNewTokens } })).warnings.join();
    assert.match(
      await warned(2),
      /cut at 2 semantic tokens\. Split the text, or raise semantic\.maxNewTokens up to 5\.$/,
    );
    assert.match(await warned(), /cut at 5 semantic tokens, as long as this model speaks\. Split the text\.$/);
    assert.match(await warned(6), /cut at 6 semantic tokens, as long as this model speaks\. Split the text\.$/);
  } finally {
    semantic_config.max_new_tokens = own;
  }
});

/**
 * The logits that each token was drawn from, and those after the last; the end token's come last.
 */
async function logitsOf(model: BarkModel, inputs: BarkInputs, said: readonly number[]): Promise<Float64Array[]> {
  const {
    max_input_semantic_length: L,
    text_encoding_offset,
    text_pad_token,
    semantic_pad_token,
    semantic_infer_token,
    semantic_vocab_size,
    eos_token_id,
  } = model.generation_config.semantic_config;
  const ids = Array.from({ length: L }, (_, i) =>
    inputs.attentionMask[i] ? inputs.inputIds[i]! + text_encoding_offset : text_pad_token,
  );
  const H = model.semantic.config.hidden_size;
  const rows = await model.semantic.embed([
    ...ids,
    ...ids.map(() => semantic_pad_token),
    semantic_infer_token,
    ...said,
  ]);
  const embeds = Array.from({ length: (L + 1 + said.length) * H }, (_, i) =>
    i < L * H ? rows[i]! + rows[L * H + i]! : rows[L * H + i]!,
  );
  const { logits } = await model.semantic.forward({
    inputsEmbeds: { data: embeds, shape: [1, L + 1 + said.length, H] },
  });
  return [...said, 0].map((_, step) => {
    const row = logits.data.subarray((L + step) * logits.shape[2]!);
    return Float64Array.of(...row.subarray(0, semantic_vocab_size), row[eos_token_id]!);
  });
}

test("minEosPRaw ends the speech where the end token is likelier than that in the logits; the checkpoint's min_eos_p is it", async () => {
  const likely = readFixture('min_eos_p');
  const run = likely.runs.find(({ name }) => name === 'off')!;
  const said = run.expected.semantic[0]!;
  const device = await testDevice();
  const { model, processor } = await openFixture(likely, { device });
  const inputs = await processor.encode(run.text);
  const all = { temperature: 1, topK: null, topP: null };
  const ends = (await logitsOf(model, inputs, said)).map((row) => filtered(row, all).at(-1)!);
  const lengthAt = (p: number) => Math.min(...[...ends.keys()].filter((step) => ends[step]! > p), said.length);
  for (const p of [0.01, 0.05, 0.2, 0.9]) {
    assert.ok(
      ends.every((end) => Math.abs(end - p) > 1e-4),
      `${p} is clear of all steps`,
    );
    const { tokens } = await model.generate(inputs, { ...GREEDY, minEosPRaw: p });
    assert.equal([...tokens[0]!.semantic], said.slice(0, lengthAt(p)), `minEosPRaw ${p}`);
  }
  assert.ok(lengthAt(0.05) < said.length, 'it fires before the end is drawn');
  for (const minEosP of [undefined, 0.01]) {
    const { tokens } = await model.generate(inputs, { ...GREEDY, minEosP });
    assert.equal([...tokens[0]!.semantic], said, `suno's rule adds nothing to the likeliest tokens: ${minEosP}`);
  }
  model.dispose();

  const { semantic_config } = likely.generation_config as { semantic_config: object };
  const generation_config = { ...likely.generation_config, semantic_config: { ...semantic_config, min_eos_p: 0.05 } };
  const named = (await openFixture({ ...likely, generation_config }, { device })).model;
  const own = await named.generate(inputs, { ...GREEDY, minEosP: undefined });
  assert.equal([...own.tokens[0]!.semantic], said.slice(0, lengthAt(0.05)), 'the min_eos_p of the file');
  const off = await named.generate(inputs, GREEDY);
  assert.equal([...off.tokens[0]!.semantic], said, 'minEosP: null turns it off');
  named.dispose();
});

test('minEosP ends the speech where the end has at least that part of what is drawn from; 0.2 unless said otherwise', async () => {
  const likely = readFixture('min_eos_p');
  const run = likely.runs.find(({ name }) => name === 'off')!;
  const { model, processor } = await openFixture(likely, { device: await testDevice() });
  const inputs = await processor.encode(run.text);
  let [early, others] = [0, 0];
  for (const filters of [
    { temperature: 0.7, topK: null, topP: null },
    { temperature: 0.7, topK: 5, topP: null },
    { temperature: 1.6, topK: 12, topP: 0.9 },
  ])
    for (const seed of [1, 2, 3]) {
      const draw: GenerateOptions = { ...LIVELY, ...filters, seed };
      const said = [...(await model.generate(inputs, draw)).tokens[0]!.semantic];
      const rows = await logitsOf(model, inputs, said);
      const ends = rows.map((row) => filtered(row, filters).at(-1)!);
      const raw = rows.map((row) => filtered(row, { temperature: 1, topK: null, topP: null }).at(-1)!);
      const first = (of: number[], p: number) => Math.min(...[...of.keys()].filter((i) => of[i]! >= p), said.length);
      for (const p of [0.02, 0.2, 0.6]) {
        if (ends.some((end) => Math.abs(end - p) < 1e-4)) continue; // too close to call
        const { tokens } = await model.generate(inputs, { ...draw, minEosP: p === 0.2 ? undefined : p });
        assert.equal(
          [...tokens[0]!.semantic],
          said.slice(0, first(ends, p)),
          `${p}, ${JSON.stringify({ filters, seed })}`,
        );
        if (first(ends, p) < said.length) early++;
        if (first(ends, p) !== first(raw, p)) others++;
      }
    }
  assert.ok(early >= 5 && others >= 3, `${early} ended early, ${others} elsewhere than by transformers' rule`);
  model.dispose();
});

test('the models are freed', async () => (await open()).model.dispose());

test.run();
