// config.json and generation_config.json: the real files against the published table, the
// reference's defaults, and each kind of wrong key.
// Needs: no device.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { existsSync, readdirSync } from 'node:fs';
import { BarkCoarseConfig, BarkConfig, BarkFineConfig, BarkSemanticConfig } from '../../../bark/config/config.ts';
import { BarkGenerationConfig } from '../../../bark/config/generation_config.ts';
import { EncodecConfig, hopLength, numQuantizers } from '../../../encodec/config.ts';
import { checkGeneration } from '../../../bark/config/check_generation.ts';
import { root, shared, json, type Json } from './configs.ts';

const test = suite('config');

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

test.run();
