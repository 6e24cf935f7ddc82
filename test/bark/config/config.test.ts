// config.json and generation_config.json: the real files against the published table, the
// reference's defaults, and each kind of wrong key.
// Needs: no GPU.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { BarkCoarseConfig, BarkConfig, BarkFineConfig, BarkSemanticConfig } from '../../../bark/config/config.ts';
import { BarkGenerationConfig } from '../../../bark/config/generation_config.ts';
import { EncodecConfig, hopLength, numQuantizers } from '../../../encodec/config.ts';
import { UnsupportedError, WeightsError } from '../../../runtime/base/errors.ts';
import { checkGeneration } from '../../../bark/config/check_generation.ts';

const test = suite('config');
const root = new URL('../../../', import.meta.url);
const shared = new URL('../shared/data/', root);
const json = (url: URL | string, base: URL = shared) => JSON.parse(readFileSync(new URL(url, base), 'utf8'));
type Json = Record<string, any>;

const ENCODEC_24KHZ: EncodecConfig = {
  sampling_rate: 24_000,
  audio_channels: 1,
  normalize: false,
  hidden_size: 128,
  num_filters: 32,
  num_residual_layers: 1,
  upsampling_ratios: [8, 5, 4, 2],
  norm_type: 'weight_norm',
  kernel_size: 7,
  last_kernel_size: 7,
  residual_kernel_size: 3,
  dilation_growth_rate: 2,
  use_causal_conv: true,
  pad_mode: 'reflect',
  compress: 2,
  num_lstm_layers: 2,
  trim_right_ratio: 1,
  codebook_size: 1024,
  codebook_dim: 128,
  use_conv_shortcut: true,
  target_bandwidths: [1.5, 3, 6, 12, 24],
};

/** The constants of suno/bark and suno/bark-small. */
const SUNO: BarkGenerationConfig = {
  codebook_size: 1024,
  sample_rate: 24_000,
  semantic_config: {
    do_sample: true,
    temperature: 0.7,
    top_k: 50,
    top_p: 1,
    max_new_tokens: 768,
    eos_token_id: 10_000,
    text_encoding_offset: 10_048,
    text_pad_token: 129_595,
    semantic_pad_token: 10_000,
    semantic_infer_token: 129_599,
    semantic_vocab_size: 10_000,
    max_input_semantic_length: 256,
    semantic_rate_hz: 49.9,
    min_eos_p: null,
  },
  coarse_acoustics_config: {
    do_sample: true,
    temperature: 0.7,
    top_k: 50,
    top_p: 1,
    coarse_semantic_pad_token: 12_048,
    coarse_infer_token: 12_050,
    coarse_rate_hz: 75,
    n_coarse_codebooks: 2,
    max_coarse_input_length: 256,
    max_coarse_history: 630,
    sliding_window_len: 60,
  },
  fine_acoustics_config: {
    temperature: 0.5,
    max_fine_history_length: 512,
    max_fine_input_length: 1024,
    n_fine_codebooks: 8,
  },
};

for (const [repository, hidden_size, num_heads, num_layers] of [
  ['bark-small', 768, 12, 12],
  ['bark', 1024, 16, 24],
] as const) {
  test(`the real files of suno/${repository}`, () => {
    if (!existsSync(shared)) return console.log('skipped: ../shared is not here');
    const config = BarkConfig.fromJSON(json(`hub/${repository}/config.json`));
    const sizes = { block_size: 1024, num_layers, num_heads, hidden_size, bias: false };
    assert.equal(config, {
      semantic_config: { ...sizes, input_vocab_size: 129_600, output_vocab_size: 10_048 },
      coarse_acoustics_config: { ...sizes, input_vocab_size: 12_096, output_vocab_size: 12_096 },
      fine_acoustics_config: {
        ...sizes,
        input_vocab_size: 1056,
        output_vocab_size: 1056,
        n_codes_total: 8,
        n_codes_given: 1,
        tie_word_embeddings: true,
      },
      codec_config: ENCODEC_24KHZ,
    });
    const generation = BarkGenerationConfig.fromJSON(json(`hub/${repository}/generation_config.json`));
    assert.equal(generation, SUNO);
    assert.equal(checkGeneration(config, generation), []);
  });
}

test('the demo voice', () => {
  const folder = new URL('bark/demo_voice/', root);
  const config = BarkConfig.fromJSON(json('config.json', folder));
  const generation = BarkGenerationConfig.fromJSON(json('generation_config.json', folder));
  assert.equal(checkGeneration(config, generation), []);
  assert.equal(config.semantic_config, {
    block_size: 320,
    input_vocab_size: 704,
    output_vocab_size: 448,
    num_layers: 4,
    num_heads: 4,
    hidden_size: 256,
    bias: false,
  });
  assert.equal(generation.coarse_acoustics_config.sliding_window_len, 120);
  assert.equal([hopLength(config.codec_config), numQuantizers(config.codec_config)], [320, 8]);
});

test('the fixtures of the other tests', () => {
  const fixtures = new URL('test/fixtures/', root);
  let checked = 0;
  for (const file of readdirSync(fixtures).filter((name) => name.endsWith('.json'))) {
    const fixture: Json = json(file, fixtures);
    if (!fixture.config?.semantic_config || !fixture.generation_config) continue;
    checked++;
    const warnings = checkGeneration(
      BarkConfig.fromJSON(fixture.config),
      BarkGenerationConfig.fromJSON(fixture.generation_config),
    );
    // One fixture runs its codes at another rate than its codec, on purpose.
    assert.equal(
      warnings.filter((warning) => !/coarse_rate_hz is 50, but the codec plays 75/.test(warning)),
      [],
      file,
    );
  }
  assert.ok(checked > 0);
});

test('missing keys get the defaults of the reference', () => {
  const gpt = {
    block_size: 1024,
    input_vocab_size: 10_048,
    output_vocab_size: 10_048,
    num_layers: 12,
    num_heads: 12,
    hidden_size: 768,
    bias: true,
  };
  assert.equal(BarkSemanticConfig.fromJSON({}), gpt);
  assert.equal(BarkCoarseConfig.fromJSON({}), gpt);
  assert.equal(BarkFineConfig.fromJSON({}), { ...gpt, n_codes_total: 8, n_codes_given: 1, tie_word_embeddings: true });
  assert.equal(EncodecConfig.fromJSON({}), ENCODEC_24KHZ);
  assert.is(EncodecConfig.fromJSON({ hidden_size: 48, codebook_dim: null }).codebook_dim, 48);
  const greedy = { do_sample: false, temperature: 1 };
  assert.equal(BarkGenerationConfig.fromJSON({}), {
    ...SUNO,
    semantic_config: { ...SUNO.semantic_config, ...greedy },
    coarse_acoustics_config: { ...SUNO.coarse_acoustics_config, ...greedy },
    fine_acoustics_config: { ...SUNO.fine_acoustics_config, temperature: 1 },
  });
});

test('aliases, nulls, and keys that are not ours', () => {
  const named = BarkSemanticConfig.fromJSON({
    num_attention_heads: 4,
    num_hidden_layers: 2,
    vocab_size: 99,
    window_size: 7,
    hidden_size: 64,
    top_k: 'junk',
    temperature: [],
  });
  assert.equal(named, {
    block_size: 7,
    input_vocab_size: 99,
    output_vocab_size: 10_048,
    num_layers: 2,
    num_heads: 4,
    hidden_size: 64,
    bias: true,
  });
  assert.is(BarkSemanticConfig.fromJSON({ num_heads: 4, num_attention_heads: 4, hidden_size: 64 }).num_heads, 4);
  assert.throws(
    () => BarkSemanticConfig.fromJSON({ num_heads: 4, num_attention_heads: 8, hidden_size: 64 }),
    /num_attention_heads is 8, expected what num_heads says, 4/,
  );

  const { semantic_config, coarse_acoustics_config, fine_acoustics_config } = BarkGenerationConfig.fromJSON({
    semantic_config: {
      top_k: 0,
      top_p: null,
      temperature: null,
      max_new_tokens: null,
      min_eos_p: 0.05,
      eos_token_id: 500,
      semantic_pad_token: 9,
    },
    coarse_acoustics_config: { top_k: null, eos_token_id: null },
    fine_acoustics_config: { temperature: null, num_beams: 4 },
  });
  assert.is(semantic_config.top_k, null);
  assert.is(semantic_config.top_p, null);
  assert.is(semantic_config.temperature, null);
  assert.is(semantic_config.max_new_tokens, 768);
  assert.is(semantic_config.min_eos_p, 0.05);
  assert.is(
    semantic_config.semantic_pad_token,
    500,
    'the reference pads with eos_token_id, whatever semantic_pad_token says',
  );
  assert.is(coarse_acoustics_config.top_k, 50, 'transformers fills a null with its default');
  assert.is(
    BarkGenerationConfig.fromJSON({ semantic_config: { eos_token_id: [77] } }).semantic_config.eos_token_id,
    77,
  );
  assert.is(BarkGenerationConfig.fromJSON({ semantic_config: { min_eos_p: 0 } }).semantic_config.min_eos_p, null);
  assert.throws(
    () => BarkGenerationConfig.fromJSON({ coarse_acoustics_config: { eos_token_id: 12_000 } }),
    /coarse_acoustics_config\.eos_token_id is 12000, expected null/,
  );
  assert.is(fine_acoustics_config.temperature, null);
  assert.is(BarkGenerationConfig.fromJSON({ semantic_config: null }).semantic_config.eos_token_id, 10_000);
});

const real = (): Json => ({
  model_type: 'bark',
  semantic_config: { input_vocab_size: 129_600, output_vocab_size: 10_048, bias: false },
  coarse_acoustics_config: { input_vocab_size: 12_096, output_vocab_size: 12_096, bias: false },
  fine_acoustics_config: { input_vocab_size: 1056, output_vocab_size: 1056, bias: false },
  codec_config: {},
});

/** Sets `a.b` of a copy. */
function withKey(object: Json, path: string, value: unknown): Json {
  const copy = structuredClone(object);
  const keys = path.split('.');
  const last = keys.pop()!;
  const at = keys.reduce((node, key) => (node[key] ??= {}), copy);
  if (value === undefined) delete at[last];
  else at[last] = value;
  return copy;
}

test('a wrong key of config.json names itself, what it holds and what is allowed', () => {
  const wrong: [string, unknown, RegExp][] = [
    ['semantic_config.hidden_size', 'abc', /semantic_config\.hidden_size is 'abc', expected a whole number from 1/],
    ['semantic_config.hidden_size', -8, /hidden_size is -8, expected/],
    ['semantic_config.hidden_size', 768.5, /hidden_size is 768\.5/],
    ['semantic_config.hidden_size', null, /hidden_size is null/],
    ['semantic_config.hidden_size', 1e300, /hidden_size is 1e\+300/],
    ['semantic_config.num_heads', 7, /num_heads is 7, expected a divisor of hidden_size \(768\)/],
    ['coarse_acoustics_config.bias', 'false', /coarse_acoustics_config\.bias is 'false', expected true or false/],
    ['coarse_acoustics_config.num_layers', 0, /num_layers is 0/],
    ['fine_acoustics_config.n_codes_given', 9, /n_codes_given is 9, expected a whole number from 1 to 8/],
    ['fine_acoustics_config', [], /fine_acoustics_config is \[\], expected an object/],
    ['fine_acoustics_config', undefined, /fine_acoustics_config is missing, expected an object/],
    [
      'codec_config.upsampling_ratios',
      [8, 0],
      /codec_config\.upsampling_ratios is \[8,0\], expected a list of whole numbers/,
    ],
    ['codec_config.upsampling_ratios', [], /upsampling_ratios is \[\]/],
    ['codec_config.pad_mode', 'wrap', /pad_mode is 'wrap', expected one of "constant", "reflect"/],
    ['codec_config.codebook_dim', 64, /codebook_dim is 64, expected hidden_size \(128\)/],
    ['codec_config.trim_right_ratio', 1.5, /trim_right_ratio is 1\.5, expected a number from 0 to 1/],
    ['model_type', 'llama', /model_type is 'llama', expected one of "bark"/],
    ['semantic_config.model_type', 'fine_acoustics', /semantic_config\.model_type is 'fine_acoustics'/],
  ];
  for (const [path, value, message] of wrong) {
    assert.throws(
      () => BarkConfig.fromJSON(withKey(real(), path, value), 'm/config.json'),
      (error: Error) =>
        error instanceof WeightsError && error.message.startsWith('m/config.json: ') && message.test(error.message),
      `${path} ${value}`,
    );
  }
  for (const nothing of [null, 3, 'x', [], undefined])
    assert.throws(
      () => BarkConfig.fromJSON(nothing),
      (error: Error) => error instanceof WeightsError && /config\.json: got/.test(error.message),
    );
});

test('what this library cannot do is an UnsupportedError', () => {
  const cases: [string, unknown, RegExp][] = [
    ['semantic_config.num_heads', 64, /768 \/ 64 = 12, expected a head size that is a multiple of 8, at most 128/],
    ['semantic_config.num_heads', 4, /768 \/ 4 = 192/],
    [
      'codec_config.norm_type',
      'time_group_norm',
      /codec_config\.norm_type is 'time_group_norm', expected 'weight_norm'/,
    ],
    ['codec_config.audio_channels', 2, /audio_channels is 2, expected 1/],
    ['codec_config.normalize', true, /normalize is true, expected false/],
    ['codec_config.pad_mode', 'circular', /pad_mode is 'circular'/],
    ['codec_config.model_type', 'dac', /model_type is 'dac', expected 'encodec'/],
  ];
  for (const [path, value, message] of cases) {
    assert.throws(
      () => BarkConfig.fromJSON(withKey(real(), path, value)),
      (error: Error) => error instanceof UnsupportedError && message.test(error.message),
      path,
    );
  }
  const generation: [string, unknown, RegExp][] = [
    ['coarse_acoustics_config.n_coarse_codebooks', 3, /n_coarse_codebooks is 3, expected 2/],
    ['coarse_acoustics_config.sliding_window_len', 59, /sliding_window_len is 59, expected an even number/],
    ['semantic_config.num_beams', 4, /semantic_config\.num_beams is 4, expected null or 1/],
    ['semantic_config.repetition_penalty', 1.2, /repetition_penalty is 1\.2/],
    ['coarse_acoustics_config.suppress_tokens', [3], /suppress_tokens is \[3\], expected null/],
  ];
  for (const [path, value, message] of generation) {
    assert.throws(
      () => BarkGenerationConfig.fromJSON(withKey({}, path, value)),
      (error: Error) => error instanceof UnsupportedError && message.test(error.message),
      path,
    );
  }
});

test('a wrong key of generation_config.json', () => {
  const wrong: [string, unknown, RegExp][] = [
    ['semantic_config.temperature', 'hot', /semantic_config\.temperature is 'hot', expected a number of at least 0/],
    ['semantic_config.top_p', 1.5, /top_p is 1\.5, expected a number from 0 to 1/],
    ['semantic_config.top_k', 2.5, /top_k is 2\.5/],
    ['semantic_config.semantic_rate_hz', 0, /semantic_rate_hz is 0/],
    ['semantic_config.max_new_tokens', 0, /max_new_tokens is 0/],
    ['fine_acoustics_config.temperature', 0, /fine_acoustics_config\.temperature is 0/],
    [
      'fine_acoustics_config.max_fine_history_length',
      2000,
      /max_fine_history_length is 2000, expected a whole number from 1 to 1024/,
    ],
    ['codebook_size', '1024', /codebook_size is '1024'/],
    ['sample_rate', -1, /sample_rate is -1/],
  ];
  for (const [path, value, message] of wrong) {
    assert.throws(
      () => BarkGenerationConfig.fromJSON(withKey({}, path, value)),
      (error: Error) => error instanceof WeightsError && message.test(error.message),
      path,
    );
  }
  assert.throws(
    () => BarkGenerationConfig.fromJSON({ semantic_config: { do_sample: true, temperature: 0 } }),
    /for greedy tokens set do_sample to false/,
  );
});

test('files of two different models do not fit', () => {
  const fits = (config: Json, generation: Json) =>
    checkGeneration(BarkConfig.fromJSON(config), BarkGenerationConfig.fromJSON(generation));
  assert.equal(fits(real(), {}), []);
  const wrong: [Json, Json, RegExp][] = [
    [
      withKey(real(), 'semantic_config.input_vocab_size', 10_048),
      {},
      /text_pad_token is 129595, expected at most 10047/,
    ],
    [withKey(real(), 'semantic_config.output_vocab_size', 10_000), {}, /eos_token_id is 10000, expected at most 9999/],
    [withKey(real(), 'semantic_config.block_size', 256), {}, /max_input_semantic_length is 256, expected at most 255/],
    [
      withKey(real(), 'coarse_acoustics_config.output_vocab_size', 12_047),
      {},
      /codebook_size is 12048, expected at most 12047/,
    ],
    [
      withKey(real(), 'coarse_acoustics_config.input_vocab_size', 12_050),
      {},
      /coarse_infer_token is 12050, expected at most 12049/,
    ],
    [
      withKey(real(), 'fine_acoustics_config.block_size', 1000),
      {},
      /max_fine_input_length is 1024, expected at most 1000/,
    ],
    [
      withKey(real(), 'fine_acoustics_config.input_vocab_size', 1024),
      {},
      /codebook_size \(the id of an empty code\) is 1024, expected at most 1023/,
    ],
    [withKey(real(), 'codec_config.codebook_size', 512), {}, /codebook_size is 1024, expected at most 512/],
    [withKey(real(), 'codec_config.target_bandwidths', [3]), {}, /n_fine_codebooks is 8, expected at most 4/],
    [withKey(real(), 'fine_acoustics_config.n_codes_given', 3), {}, /n_codes_given is 3, expected at most 2/],
  ];
  for (const [config, generation, message] of wrong)
    assert.throws(
      () => fits(config, generation),
      (error: Error) => error instanceof WeightsError && message.test(error.message),
      String(message),
    );
  assert.match(fits(real(), { semantic_config: { max_new_tokens: 769 } }).join(), /room for 768/);
  assert.match(fits(withKey(real(), 'coarse_acoustics_config.block_size', 945), {}).join(), /needs 946 positions/);
  assert.match(fits(real(), { sample_rate: 16_000 }).join(), /sampling_rate is 24000/);
});

test.run();
