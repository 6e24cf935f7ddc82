// What `generate` returns: audio, the tokens behind it, and a voice that continues it.

import { InputError } from '../runtime/base/errors.ts';
import type { RawAudio } from './audio.ts';
import type { BarkGenerationConfig } from './config/generation_config.ts';
import { VoicePreset } from './processor/voice_preset.ts';

/** Tokens of one row (one sentence). S semantic tokens, T frames of codes. */
export interface RowTokens {
  semantic: Int32Array; // (S)
  coarse: Int32Array; //   (n_coarse_codebooks, T) codes, row-major; 2 in Bark
  fine: Int32Array; //     (n_fine_codebooks, T) codes, row-major; 8 in suno's
}

export interface GenerateOutput {
  audio: RawAudio[];
  tokens: RowTokens[];
  /**
   * Milliseconds of each stage, uploads of offloaded weights included, and of all stages together.
   * `firstToken` is the time from the start of the semantic stage until the host has read back
   * every row's first token (with more than 16 rows: that of the first 16). Waiting for an earlier
   * call of `generate` is not counted.
   */
  timings: { semantic: number; coarse: number; fine: number; codec: number; total: number; firstToken: number };
  /** The seed of each row; passed as `seed`, it gives the same tokens again. */
  seeds: number[];
  /**
   * What did not go as one would expect, for example a sentence that was cut; for people to read.
   */
  warnings: string[];
  /** The row's tokens as a voice preset: a sentence spoken with it continues this one. */
  voice(row: number): VoicePreset;
}

/** The voice preset that continues row `row`. Throws `InputError` for a row without speech. */
export function rowVoice(tokens: readonly RowTokens[], row: number, generation: BarkGenerationConfig): VoicePreset {
  const own = tokens[row];
  if (!own) throw new InputError(`voice: got row ${row}, expected one from 0 to ${tokens.length - 1}.`);
  const { n_coarse_codebooks } = generation.coarse_acoustics_config;
  const { n_fine_codebooks } = generation.fine_acoustics_config;
  const frames = own.fine.length / n_fine_codebooks;
  if (frames === 0)
    throw new InputError(`voice: row ${row} is silent, expected one that speaks. Generate it again with another seed.`);
  return VoicePreset.from({
    semantic_prompt: own.semantic,
    coarse_prompt: { data: own.coarse, shape: [n_coarse_codebooks, frames] },
    fine_prompt: { data: own.fine, shape: [n_fine_codebooks, frames] },
  });
}
