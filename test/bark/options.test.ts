// Every wrong option is an InputError that says what was got and what is expected, before any work;
// what is left out comes from the stage, then from the bare option, then from the checkpoint. No
// GPU.
// Needs: no device.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { BarkGenerationConfig } from '../../bark/config/generation_config.ts';
import { resolveOptions, stageSeed, type GenerateOptions } from '../../bark/options.ts';
import { InputError } from '../../runtime/base/errors.ts';

const test = suite('options');

/** As generation_config.json of suno's checkpoints. */
const suno = BarkGenerationConfig.fromJSON({
  semantic_config: { do_sample: true, temperature: 0.7, top_k: 50 },
  coarse_acoustics_config: { do_sample: true, temperature: 0.7, top_k: 50 },
  fine_acoustics_config: { temperature: 0.5 },
});
const resolve = (options: GenerateOptions, generation = suno, batch = 1) =>
  resolveOptions(options, generation, batch, 768);

/** Wrong options, and what the message must hold of them. */
const WRONG: readonly (readonly [options: unknown, message: RegExp])[] = [
  [{ temperature: 0 }, /^temperature: got 0, expected a number above 0/],
  [{ temperature: -1 }, /temperature: got -1, expected a number above 0/],
  [{ temperature: NaN }, /temperature: got NaN, expected a number above 0/],
  [{ temperature: Infinity }, /temperature: got Infinity, expected/],
  [{ temperature: '0.7' }, /^temperature: got '0.7', expected/],
  [
    { semantic: { temperature: 0 } },
    /^semantic\.temperature: got 0, expected a number above 0 \(for the likeliest tokens set doSample to false\)/,
  ],
  [{ coarse: { temperature: -0.5 } }, /^coarse\.temperature: got -0.5, expected/],
  [
    { fine: { temperature: 0 } },
    /^fine\.temperature: got 0, expected a number above 0, or null for the likeliest code/,
  ],
  [{ topK: -1 }, /^topK: got -1, expected a whole number from 1, or null/],
  [{ topK: 2.5 }, /topK: got 2.5, expected a whole number/],
  [{ coarse: { topK: 1e10 } }, /^coarse\.topK: got 10000000000, expected/],
  [{ topP: -0.1 }, /^topP: got -0.1, expected a probability from 0 \(the likeliest token alone\) to 1, or null/],
  [{ topP: 1.01 }, /topP: got 1.01, expected/],
  [{ coarse: { topP: 'all' } }, /^coarse\.topP: got 'all', expected/],
  [{ minEosP: 0 }, /^minEosP: got 0, expected a probability above 0 up to 1, or null/],
  [{ minEosP: 2 }, /^minEosP: got 2, expected/],
  [{ semantic: { minEosP: -0.1 } }, /^semantic\.minEosP: got -0.1, expected/],
  [{ semantic: { maxNewTokens: 0 } }, /^semantic\.maxNewTokens: got 0, expected a whole number from 1 to 768/],
  [
    { semantic: { maxNewTokens: 769 } },
    /^semantic\.maxNewTokens: got 769, expected a whole number from 1 to 768, what this model has positions for/,
  ],
  [{ semantic: { maxNewTokens: 1.5 } }, /maxNewTokens: got 1.5/],
  [{ seed: -1 }, /^seed: got -1, expected a whole number from 0 to 2\^53 - 1/],
  [{ seed: 0.5 }, /^seed: got 0.5, expected/],
  [{ seed: 2 ** 53 }, /^seed: got 9007199254740992, expected/],
  [{ seed: '7' }, /^seed: got '7', expected/],
  [{ seed: [1, 2] }, /^seed: got 2 seeds for 1 rows, expected one, or one for each row/],
  [{ seed: [] }, /^seed: got 0 seeds/],
  [
    { top_k: 5 },
    /^model\.generate: got the unknown option 'top_k', expected one of doSample, temperature.*Did you mean topK\?$/,
  ],
  [
    { maxNewTokens: 5 },
    /^model\.generate: got the unknown option 'maxNewTokens', expected one of .* Did you mean semantic: \{ maxNewTokens: … \}\?$/,
  ],
  [
    { semantic: { strictMask: true } },
    /^model\.generate: got the unknown option 'semantic\.strictMask', expected one of/,
  ],
  [{ coarse: { minEosP: 0.1 } }, /^model\.generate: got the unknown option 'coarse\.minEosP', expected one of/],
  [{ fine: { topK: 5 } }, /^model\.generate: got the unknown option 'fine\.topK', expected one of temperature/],
  [{ doSample: 'no' }, /^model\.generate: got 'no' for doSample, expected true or false/],
  [{ semantic: { doSample: 0 } }, /^model\.generate: got 0 for semantic\.doSample, expected true or false/],
  [{ coarse: { doSample: null } }, /got null for coarse\.doSample, expected true or false/],
  [{ coarse: { strictMask: 1 } }, /got 1 for coarse\.strictMask, expected true or false/],
  [{ semantic: 5 }, /got 5 for semantic, expected an object such as \{ doSample: … \}/],
  [{ fine: null }, /got null for fine, expected an object such as \{ temperature: … \}/],
  [{ signal: {} }, /got \{\} for signal, expected an AbortSignal/],
  [{ onProgress: 'loud' }, /got 'loud' for onProgress, expected a function/],
];

for (const [options, message] of WRONG) {
  const said = JSON.stringify(options, (_, value: unknown) =>
    typeof value === 'number' && !Number.isFinite(value) ? String(value) : value,
  );
  test(`${said} is refused`, () => {
    assert.throws(
      () => resolve(options as GenerateOptions),
      (error: Error) => (error instanceof InputError && message.test(error.message)) || assert.unreachable(error.stack),
    );
  });
}

test('what is left out comes from the checkpoint, and minEosP from suno', () => {
  const { seeds, ...rest } = resolve({});
  assert.is(seeds.length, 1);
  assert.equal(rest, {
    semantic: { temperature: 0.7, topK: 50, topP: 1, minEosP: 0.2, minEosPRaw: null, maxNewTokens: 768 },
    coarse: { temperature: 0.7, topK: 50, topP: 1, strictMask: true },
    fine: { temperature: 0.5 },
  });
  // without a file HF does not sample, and a fine temperature of 1 does not either
  const bare = resolve({}, BarkGenerationConfig.fromJSON({}));
  assert.equal(
    [bare.semantic.temperature, bare.coarse.temperature, bare.coarse.strictMask, bare.fine.temperature],
    [null, null, false, 1],
  );
});

test("the checkpoint's own settings are used", () => {
  const own = BarkGenerationConfig.fromJSON({
    semantic_config: { temperature: 0.5, top_k: 20, top_p: 0.9, do_sample: true, min_eos_p: 0.05, max_new_tokens: 40 },
    coarse_acoustics_config: { temperature: 0.4, top_k: 7, do_sample: false },
    fine_acoustics_config: { temperature: 0.3 },
  });
  const { semantic, coarse, fine } = resolve({}, own);
  assert.equal(semantic, { temperature: 0.5, topK: 20, topP: 0.9, minEosP: null, minEosPRaw: 0.05, maxNewTokens: 40 });
  assert.equal(coarse, { temperature: null, topK: null, topP: null, strictMask: false });
  assert.is(fine.temperature, 0.3);
});

test("a stage's option wins over the bare one, and that over the checkpoint", () => {
  const { semantic, coarse, fine } = resolve({
    temperature: 0.9,
    topK: 30,
    topP: 0.8,
    minEosP: 0.3,
    semantic: { temperature: 0.1, topK: null, minEosP: null, maxNewTokens: 9 },
    coarse: { topP: null, strictMask: false },
    fine: { temperature: null },
  });
  assert.equal(semantic, {
    temperature: 0.1,
    topK: null,
    topP: 0.8,
    minEosP: null,
    minEosPRaw: null,
    maxNewTokens: 9,
  });
  assert.equal(coarse, { temperature: 0.9, topK: 30, topP: null, strictMask: false });
  assert.is(fine.temperature, null);
  assert.is(resolve({ temperature: 0.9 }).fine.temperature, 0.9);
});

test("one rule for the end: minEosP replaces the checkpoint's, and is off where the other is on", () => {
  const named = BarkGenerationConfig.fromJSON({ semantic_config: { min_eos_p: 0.05 } });
  const rules = (options: GenerateOptions, generation = suno) => {
    const { minEosP, minEosPRaw } = resolve(options, generation).semantic;
    return [minEosP, minEosPRaw];
  };
  assert.equal(rules({}), [0.2, null]);
  assert.equal(rules({}, named), [null, 0.05]);
  for (const generation of [suno, named]) {
    assert.equal(rules({ minEosP: 0.3 }, generation), [0.3, null]);
    assert.equal(rules({ minEosP: null }, generation), [null, null], 'what the file says goes with it');
    assert.equal(rules({ minEosPRaw: 0.3 }, generation), [null, 0.3]);
    assert.equal(rules({ minEosPRaw: null }, generation), [0.2, null]);
    assert.equal(rules({ minEosP: null, minEosPRaw: null }, generation), [null, null]);
    assert.equal(rules({ minEosP: null, minEosPRaw: 0.3 }, generation), [null, 0.3]);
    assert.equal(rules({ minEosP: 0.3, minEosPRaw: null }, generation), [0.3, null]);
    assert.equal(rules({ minEosP: 0.3, semantic: { minEosP: null, minEosPRaw: 0.1 } }, generation), [null, 0.1]);
  }
});

test('doSample false takes the likeliest; undefined is as if it were not there', () => {
  const none = { temperature: null, topK: null, topP: null };
  const { semantic, coarse, fine } = resolve({
    doSample: false,
    temperature: 0.7,
    minEosP: null,
    fine: { temperature: null },
  });
  assert.equal(semantic, { ...none, minEosP: null, minEosPRaw: null, maxNewTokens: 768 });
  assert.equal(coarse, { ...none, strictMask: false });
  assert.equal(fine, { temperature: null });
  assert.equal(resolve({ doSample: false, coarse: { doSample: true } }).coarse.strictMask, true);
  assert.equal(
    resolve({
      seed: 1,
      temperature: undefined,
      semantic: undefined,
      fine: { temperature: undefined },
      minEosP: undefined,
    }),
    resolve({ seed: 1 }),
  );
  assert.equal(resolve({ seed: 1, topK: 0, topP: 1 }).semantic.topK, null);
});

test('seeds: one for all rows or one each; each stage and each bit of the seed has its own stream', () => {
  assert.equal(resolve({ seed: 7 }, suno, 3).seeds, [7, 7, 7]);
  assert.equal(resolve({ seed: [7, 0, 2 ** 53 - 1] }, suno, 3).seeds, [7, 0, 2 ** 53 - 1]);
  assert.is(new Set(resolve({}, suno, 8).seeds).size, 8);
  const keys = [0, 1, 7, 2 ** 32, 2 ** 32 + 1, 2 ** 53 - 1].flatMap((seed) =>
    (['semantic', 'coarse', 'fine'] as const).map((stage) => String(stageSeed(seed, stage))),
  );
  assert.is(new Set(keys).size, keys.length);
});

test.run();
