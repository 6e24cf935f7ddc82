// What a voice has to be for a checkpoint to continue it: suno's rules, each with words for what is
// off. mend_voice.ts repairs what breaks them.
// Reference: suno-ai/bark generation.py (_load_history_prompt and the assertions of each stage).

import type { BarkGenerationConfig } from '../config/generation_config.ts';
import { wrong, type Prompt, type VoiceTokens } from './prompt_arrays.ts';

const MENDABLE = 'To mend it: VoicePreset.load(file, { repair: true }), or --repair-voice on the command line.';

/** Frames that a semantic token lasts. */
export const framesPerToken = ({ semantic_config, coarse_acoustics_config }: BarkGenerationConfig): number =>
  coarse_acoustics_config.coarse_rate_hz / semantic_config.semantic_rate_hz;

/** Whether so many frames and tokens can be of one sound. */
export function lastAlike(frames: number, tokens: number, rate: number): boolean {
  // suno compares one decimal. That refuses its own short voices (5 tokens make 7 frames, 1.4), so
  // a frame of rounding is let pass.
  return frames > 0 && ((frames / tokens).toFixed(1) === rate.toFixed(1) || Math.abs(frames - tokens * rate) <= 1);
}

/** Throws `WeightsError`, as `VoicePreset.validate` says. */
export function checkVoice(voice: VoiceTokens, generation: BarkGenerationConfig, lengths: boolean): void {
  const { semantic_config, coarse_acoustics_config, fine_acoustics_config, codebook_size } = generation;
  const { label, shapes } = voice;
  const [tokens] = shapes.semantic_prompt;
  if (tokens === 0) throw wrong(label, 'an empty semantic_prompt', 'at least one token');
  expectRows(voice, 'coarse_prompt', coarse_acoustics_config.n_coarse_codebooks);
  expectRows(voice, 'fine_prompt', fine_acoustics_config.n_fine_codebooks);
  expectWithin(voice, 'semantic_prompt', semantic_config.semantic_vocab_size);
  expectWithin(voice, 'coarse_prompt', codebook_size);
  expectWithin(voice, 'fine_prompt', codebook_size);
  if (!lengths) return;
  const [, frames] = shapes.coarse_prompt;
  const [, fineFrames] = shapes.fine_prompt;
  if (frames !== fineFrames)
    throw wrong(label, `fine_prompt has ${fineFrames} frames`, `${frames} as in coarse_prompt`, MENDABLE);
  const rate = framesPerToken(generation);
  if (!lastAlike(frames, tokens, rate)) {
    const expected = `about ${Math.round(tokens * rate)}: ${rate.toFixed(1)} frames a token`;
    throw wrong(label, `${frames} frames for ${tokens} semantic tokens`, expected, MENDABLE);
  }
}

function expectRows({ label, shapes }: VoiceTokens, prompt: 'coarse_prompt' | 'fine_prompt', expected: number): void {
  const [rows, frames] = shapes[prompt];
  if (rows === expected) return;
  if (frames === expected)
    throw wrong(label, `${prompt} has shape [${rows}, ${frames}]`, `[${frames}, ${rows}]: it is transposed`, MENDABLE);
  throw wrong(label, `${prompt} has ${rows} rows`, `${expected}, one for each codebook`);
}

function expectWithin(voice: VoiceTokens, prompt: Prompt, size: number): void {
  const outside = (token: number) => token < 0 || token >= size;
  const at = voice[prompt].findIndex(outside);
  if (at < 0) return;
  const count = voice[prompt].filter(outside).length;
  throw wrong(
    voice.label,
    `${prompt} holds ${voice[prompt][at]}`,
    `tokens from 0 to ${size - 1}; ${count} of ${voice[prompt].length} are outside, the first at ${at}`,
    MENDABLE,
  );
}

/**
 * What is odd about a voice that can be continued all the same; suno and transformers do so in
 * silence.
 */
export function voiceDoubts({ label, coarse_prompt, fine_prompt, shapes }: VoiceTokens): string[] {
  const [rows, frames] = shapes.coarse_prompt;
  const [fineRows, fineFrames] = shapes.fine_prompt;
  if (frames !== fineFrames || rows > fineRows) return []; // no voice for any model
  const differ = coarse_prompt.reduce((count, code, i) => count + Number(code !== fine_prompt[i]), 0);
  if (differ === 0) return [];
  return [
    `${label}: ${differ} of the ${coarse_prompt.length} codes of coarse_prompt are not those of the first ${rows} rows of fine_prompt: the stages will continue two different sounds. ${MENDABLE}`,
  ];
}
