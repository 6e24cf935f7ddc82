// Config files with something wrong: the error names the key, what it holds and what is allowed.
// Needs: no device.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { BarkConfig } from '../../../bark/config/config.ts';
import { BarkGenerationConfig } from '../../../bark/config/generation_config.ts';
import { UnsupportedError, WeightsError } from '../../../runtime/base/errors.ts';
import { checkGeneration } from '../../../bark/config/check_generation.ts';
import { type Json, real } from './configs.ts';

const test = suite('config_refused');

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
      /max_fine_history_length is 2000, expected a whole number from 1 to 512, half of max_fine_input_length/,
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
