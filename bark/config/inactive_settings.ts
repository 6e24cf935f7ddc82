// Settings of a generation_config.json that this library does not have, and the values at which
// they do nothing. Any other value is refused: it would be ignored in silence.

import { UnsupportedError } from '../../runtime/base/errors.ts';
import { pathOf, show, type JsonObject } from '../../runtime/base/json.ts';

// Values under which each of HF's other logits processors and search modes does nothing.
const INACTIVE: Readonly<Record<string, readonly unknown[]>> = {
  num_beams: [1],
  num_beam_groups: [1],
  num_return_sequences: [1],
  penalty_alpha: [0],
  typical_p: [1],
  min_p: [0],
  top_h: [],
  epsilon_cutoff: [0],
  eta_cutoff: [0],
  repetition_penalty: [1],
  encoder_repetition_penalty: [1],
  no_repeat_ngram_size: [0],
  encoder_no_repeat_ngram_size: [0],
  min_length: [0],
  min_new_tokens: [0],
  bad_words_ids: [],
  force_words_ids: [],
  constraints: [],
  sequence_bias: [],
  suppress_tokens: [],
  begin_suppress_tokens: [],
  forced_bos_token_id: [],
  forced_eos_token_id: [],
  forced_decoder_ids: [],
  max_time: [],
  stop_strings: [],
  exponential_decay_length_penalty: [],
  guidance_scale: [1],
  watermarking_config: [],
};

// A key that changes tokens in the reference and not here must not pass in silence.
export function refuseActive(from: JsonObject): void {
  for (const [key, inactive] of Object.entries(INACTIVE)) {
    const value = Object.hasOwn(from.values, key) ? from.values[key] : null;
    if (value === null || inactive.includes(value) || (Array.isArray(value) && value.length === 0)) continue;
    throw unsupported(from, key, value, `null${inactive.length > 0 ? ` or ${show(inactive[0])}` : ''}`);
  }
}

export function unsupported(from: JsonObject, key: string, value: unknown, expected: string): UnsupportedError {
  return new UnsupportedError(
    `${from.label}: ${pathOf(from, key)} is ${show(value)}, expected ${expected}: this library has no other. Change the key, or use transformers.`,
  );
}
