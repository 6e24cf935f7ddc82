// The built-in voice against transformers: greedy tokens of twenty sentences, ten with each preset,
// and with BARK_TEST_FULL=1 of eight without. f32: identical in all stages. f16: at least 99 % of
// each stage's tokens, on four clips (a full pass costs a minute and says the same: no token
// differs).
//
// A stage is measured from what transformers gave it, since one early token that tips over changes
// everything behind it; the plain figure, each stage from what this library's own stage before
// gave, is printed.
// Needs: a device, on wasm, default and subgroup_matrix.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { CoarseInputs } from '../../bark/coarse.ts';
import { BarkModel } from '../../bark/model.ts';
import { BarkProcessor } from '../../bark/processor/processor.ts';
import type { VoicePreset } from '../../bark/processor/voice_preset.ts';
import { env } from '../../runtime/host/platform.ts';
import { profile, testDevice } from '../device.ts';
import { assertAudio } from './models.ts';
import { readFixture, u16, type DemoFixture } from '../fixtures/fixture.ts';

const test = suite('demo voice');

const { runs } = readFixture<DemoFixture>('demo_voice');
type Run = DemoFixture['runs'][number];
const tokensOf = (text: string) => Int32Array.from(u16(text));
// rows of a batch: two hold the twenty clips, and four rows share a walk over the weights
const [CODEBOOKS, ROWS] = [8, 12];
const LIKELIEST = { temperature: null, topK: null, topP: null } as const;
const SEED = [0, 0] as const;

/** Clips of like length side by side, so that few rows of a batch wait for others. */
const byLength = (some: readonly Run[]): Run[] => [...some].sort((a, b) => a.frames - b.frames);

interface Spoken {
  run: Run;
  voice: VoicePreset | null;
  semantic: Int32Array;
  ended: boolean;
}

async function speakSemantic(model: BarkModel, processor: BarkProcessor, batch: readonly Run[]): Promise<Spoken[]> {
  const inputs = await processor.encode(
    batch.map((run) => run.text),
    { voicePreset: batch.map((run) => run.preset) },
  );
  const width = inputs.shape[1];
  for (const [b, { text, input_ids }] of batch.entries())
    assert.equal([...inputs.inputIds.subarray(b * width, b * width + input_ids.length)], input_ids, text);
  const voices = inputs.historyPrompt as (VoicePreset | null)[];
  const { max_new_tokens } = model.generation_config.semantic_config;
  const history = voices.map((voice) => voice?.semantic_prompt ?? null);
  const { tokens, ended } = await model.semantic.generate(
    { ...inputs, history },
    { ...LIKELIEST, minEosP: null, maxNewTokens: max_new_tokens, seeds: batch.map(() => SEED) },
  );
  return batch.map((run, b) => ({ run, voice: voices[b]!, semantic: tokens[b]!, ended: ended[b]! }));
}

const speakCoarse = (
  model: BarkModel,
  rows: readonly Spoken[],
  semantic: CoarseInputs['semantic'],
): Promise<Int32Array[]> =>
  model.coarse_acoustics.generate(
    { semantic, history: rows.map((row) => row.voice) },
    { ...LIKELIEST, seeds: rows.map(() => SEED), strictMask: false },
  );

const speakFine = (model: BarkModel, { voice }: Spoken, coarse: Int32Array): Promise<Int32Array<ArrayBuffer>> =>
  model.fine_acoustics.generate(model.coarse_acoustics.codes(coarse), voice?.fine_prompt ?? null, {
    temperature: null,
    seed: SEED,
  });

const batches = (some: readonly Run[]): Run[][] =>
  Array.from({ length: Math.ceil(some.length / ROWS) }, (_, i) => byLength(some).slice(i * ROWS, (i + 1) * ROWS));

const isSame = (a: Int32Array, b: Int32Array): boolean =>
  a.length === b.length && a.every((token, i) => token === b[i]);

// f32 weights never meet a matrix unit: on that profile this would be the default one again.
if (profile !== 'subgroup_matrix')
  test('f32: every token of all clips, and the audio', async () => {
    const whole = runs.filter((run) => run.preset !== null || env('BARK_TEST_FULL'));
    for (const preset of ['demo/ada', 'demo/ada_2']) assert.is(whole.filter((run) => run.preset === preset).length, 10);
    // A driver that plays a GPU takes six times as long as the processor: every fifth clip there.
    const clips = profile === 'wasm' || env('BARK_TEST_FULL') ? whole : whole.filter((_, i) => i % 5 === 0);
    const processor = await BarkProcessor.fromPretrained();
    const model = await BarkModel.fromPretrained(undefined, { dtype: 'float32', device: await testDevice() });
    try {
      for (const batch of batches(clips)) {
        const rows = await speakSemantic(model, processor, batch);
        for (const { run, semantic, ended } of rows) {
          assert.equal(semantic, tokensOf(run.semantic), `${run.preset}, semantic: ${run.text}`);
          assert.is(ended, run.ended, run.text);
        }
        const coarse = await speakCoarse(
          model,
          rows,
          rows.map((row) => row.semantic),
        );
        for (const [b, { run }] of rows.entries())
          assert.equal(coarse[b], tokensOf(run.coarse), `${run.preset}, coarse: ${run.text}`);
        for (const [b, row] of rows.entries()) {
          const { run } = row;
          const data = await speakFine(model, row, coarse[b]!);
          assert.equal(data, tokensOf(run.fine), `${run.preset}, fine: ${run.text}`);
          if (!run.audio) continue;
          const [audio] = await model.codec_model.decode({ data, shape: [CODEBOOKS, run.frames] });
          assertAudio(audio!, run.audio, run.text);
        }
      }
    } finally {
      model.dispose();
    }
  });

test('f16: at least 99 of 100 tokens in each stage', async () => {
  const some = runs.filter((_, i) => i % 7 === 1);
  assert.is(new Set(some.map((run) => run.preset)).size, 3);
  const processor = await BarkProcessor.fromPretrained();
  const model = await BarkModel.fromPretrained(undefined, { dtype: 'float16', device: await testDevice() });
  const stages = { semantic: new Tally(), coarse: new Tally(), fine: new Tally() };
  const plain = { semantic: new Tally(), coarse: new Tally(), fine: new Tally() };
  try {
    for (const batch of batches(some)) {
      const rows = await speakSemantic(model, processor, batch);
      const wanted = rows.map(({ run }) => ({
        semantic: tokensOf(run.semantic),
        coarse: tokensOf(run.coarse),
        fine: tokensOf(run.fine),
      }));
      const coarse = await speakCoarse(
        model,
        rows,
        rows.map((row) => row.semantic),
      );
      for (const [b, row] of rows.entries()) {
        const want = wanted[b]!;
        stages.semantic.add(row.semantic, want.semantic);
        plain.semantic.add(row.semantic, want.semantic);
        plain.coarse.add(coarse[b]!, want.coarse);
        const straight = isSame(row.semantic, want.semantic)
          ? coarse[b]!
          : (await speakCoarse(model, [row], [want.semantic]))[0]!;
        stages.coarse.add(straight, want.coarse);
        const fine = await speakFine(model, row, coarse[b]!);
        plain.fine.add(fine, want.fine);
        stages.fine.add(isSame(coarse[b]!, want.coarse) ? fine : await speakFine(model, row, want.coarse), want.fine);
      }
    }
  } finally {
    model.dispose();
  }
  const figures = (tallies: typeof stages) =>
    Object.entries(tallies)
      .map(([stage, tally]) => `${stage} ${tally}`)
      .join(', ');
  console.log(`f16 tokens equal to transformers' f32: ${figures(stages)}; end to end: ${figures(plain)}`);
  for (const [stage, tally] of Object.entries(stages)) assert.ok(tally.share >= 0.99, `${stage}: ${tally}`);
});

/** Counts equal tokens; what one side lacks is unequal. */
class Tally {
  #same = 0;
  #all = 0;

  add(actual: Int32Array, expected: Int32Array): void {
    this.#all += Math.max(actual.length, expected.length);
    this.#same += expected.reduce((sum, token, i) => sum + Number(token === actual[i]), 0);
  }

  get share(): number {
    return this.#same / this.#all;
  }

  toString(): string {
    return `${this.#same} of ${this.#all} (${(100 * this.share).toFixed(2)} %)`;
  }
}

test.run();
