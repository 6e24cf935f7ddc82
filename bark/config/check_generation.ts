// Whether the two config files of a model go together.

import { hopLength, numQuantizers } from '../../encodec/config.ts';
import { UnsupportedError, WeightsError } from '../../runtime/base/errors.ts';
import type { BarkConfig, BarkSemanticConfig } from './config.ts';
import type { BarkGenerationConfig, BarkSemanticGenerationConfig } from './generation_config.ts';

/**
 * The most semantic tokens that the prompt leaves positions for. The infer token takes one, and the
 * last token is never fed back and takes none.
 */
export const roomForSpeech = (
  { block_size }: BarkSemanticConfig,
  { max_input_semantic_length }: BarkSemanticGenerationConfig,
): number => block_size - max_input_semantic_length;

/** What is to be said of the two files of a model that is being loaded. */
export interface GenerationFit {
  readonly warnings: string[];
  /** Why no sentence can be spoken; what needs config.json alone, such as `forward`, works. */
  readonly misfit: Error | undefined;
}

/** As `checkGeneration`, for who can go on without speech: what does not fit is a warning too. */
export function fitGeneration(...files: Parameters<typeof checkGeneration>): GenerationFit {
  try {
    return { warnings: checkGeneration(...files), misfit: undefined };
  } catch (error) {
    const misfit = error as Error;
    return { warnings: [`${misfit.message} Until then forward() works, and generate() is refused.`], misfit };
  }
}

/**
 * Checks that the two files of a checkpoint fit together. Throws `WeightsError` where no sentence
 * could ever be spoken; returns warnings, in plain words, where some could not.
 */
export function checkGeneration(
  config: BarkConfig,
  generation: BarkGenerationConfig,
  label = 'generation_config.json',
): string[] {
  const {
    semantic_config: semantic,
    coarse_acoustics_config: coarse,
    fine_acoustics_config: fine,
    codebook_size,
  } = generation;
  const codec = config.codec_config;
  const fits = (key: string, value: number, limit: number, what: string) => {
    if (value > limit)
      throw new WeightsError(
        `${label}: ${key} is ${value}, expected at most ${limit}, ${what} of config.json. The two files are not of one model: fetch both again, or write this model's own numbers into the first.`,
      );
  };
  const isId = (key: string, value: number, size: number, what: string) =>
    fits(key, value, size - 1, `the last id of ${what}`);

  const text = config.semantic_config;
  for (const key of ['text_pad_token', 'semantic_pad_token', 'semantic_infer_token', 'text_encoding_offset'] as const) {
    isId(`semantic_config.${key}`, semantic[key], text.input_vocab_size, 'semantic_config.input_vocab_size');
  }
  isId(
    'semantic_config.eos_token_id',
    semantic.eos_token_id,
    text.output_vocab_size,
    'semantic_config.output_vocab_size',
  );
  isId(
    'semantic_config.eos_token_id',
    semantic.eos_token_id,
    text.input_vocab_size,
    'semantic_config.input_vocab_size',
  );
  fits(
    'semantic_config.semantic_vocab_size',
    semantic.semantic_vocab_size,
    text.input_vocab_size,
    'semantic_config.input_vocab_size',
  );
  // Ids behind the end token are never drawn.
  const drawn = Math.min(semantic.semantic_vocab_size, semantic.eos_token_id + 1);
  fits('semantic_config.semantic_vocab_size', drawn, text.output_vocab_size, 'semantic_config.output_vocab_size');
  fits(
    'semantic_config.max_input_semantic_length',
    semantic.max_input_semantic_length,
    text.block_size - 1,
    'semantic_config.block_size less the infer token',
  );

  const acoustic = config.coarse_acoustics_config;
  if (coarse.coarse_semantic_pad_token < semantic.semantic_vocab_size) {
    throw new UnsupportedError(
      `${label}: coarse_acoustics_config.coarse_semantic_pad_token is ${coarse.coarse_semantic_pad_token}, expected an id from ${semantic.semantic_vocab_size} on, behind the semantic tokens. Use a model whose padding is no token.`,
    );
  }
  const coarseIds = semantic.semantic_vocab_size + coarse.n_coarse_codebooks * codebook_size;
  fits(
    'semantic_vocab_size + n_coarse_codebooks * codebook_size',
    coarseIds,
    acoustic.input_vocab_size,
    'coarse_acoustics_config.input_vocab_size',
  );
  fits(
    'semantic_vocab_size + n_coarse_codebooks * codebook_size',
    coarseIds,
    acoustic.output_vocab_size,
    'coarse_acoustics_config.output_vocab_size',
  );
  isId(
    'coarse_acoustics_config.coarse_semantic_pad_token',
    coarse.coarse_semantic_pad_token,
    acoustic.input_vocab_size,
    'coarse_acoustics_config.input_vocab_size',
  );
  isId(
    'coarse_acoustics_config.coarse_infer_token',
    coarse.coarse_infer_token,
    acoustic.input_vocab_size,
    'coarse_acoustics_config.input_vocab_size',
  );
  fits(
    'coarse_acoustics_config.max_coarse_input_length',
    coarse.max_coarse_input_length,
    acoustic.block_size - 2,
    'coarse_acoustics_config.block_size less the infer token and one frame',
  );

  const detail = config.fine_acoustics_config;
  isId(
    'codebook_size (the id of an empty code)',
    codebook_size,
    detail.input_vocab_size,
    'fine_acoustics_config.input_vocab_size',
  );
  fits('codebook_size', codebook_size, detail.output_vocab_size, 'fine_acoustics_config.output_vocab_size');
  fits('codebook_size', codebook_size, codec.codebook_size, 'codec_config.codebook_size');
  fits(
    'fine_acoustics_config.max_fine_input_length',
    fine.max_fine_input_length,
    detail.block_size,
    'fine_acoustics_config.block_size',
  );
  fits(
    'fine_acoustics_config.n_fine_codebooks',
    fine.n_fine_codebooks,
    detail.n_codes_total,
    'fine_acoustics_config.n_codes_total',
  );
  fits(
    'fine_acoustics_config.n_fine_codebooks',
    fine.n_fine_codebooks,
    numQuantizers(codec),
    "the codebooks of codec_config's last target_bandwidths",
  );
  if (detail.n_codes_given > coarse.n_coarse_codebooks) {
    throw new WeightsError(
      `config.json: fine_acoustics_config.n_codes_given is ${detail.n_codes_given}, expected at most ${coarse.n_coarse_codebooks}, n_coarse_codebooks of ${label}. Fetch both files again.`,
    );
  }

  const warnings: string[] = [];
  const room = roomForSpeech(text, semantic);
  if (semantic.max_new_tokens > room) {
    warnings.push(
      `${label}: semantic_config.max_new_tokens is ${semantic.max_new_tokens}, but block_size leaves room for ${room}; speech ends there.`,
    );
  }
  const longest = coarse.max_coarse_input_length + 1 + coarse.max_coarse_history + coarse.sliding_window_len - 1;
  if (longest > acoustic.block_size) {
    warnings.push(
      `${label}: a long coarse window needs ${longest} positions, but coarse_acoustics_config.block_size is ${acoustic.block_size}; long speech will fail.`,
    );
  }
  if (generation.sample_rate !== codec.sampling_rate) {
    warnings.push(
      `${label}: sample_rate is ${generation.sample_rate}, but codec_config.sampling_rate is ${codec.sampling_rate}, which is what the codec makes.`,
    );
  }
  const framesPerSecond = codec.sampling_rate / hopLength(codec);
  if (Math.abs(coarse.coarse_rate_hz - framesPerSecond) > 1) {
    warnings.push(
      `${label}: coarse_rate_hz is ${coarse.coarse_rate_hz}, but the codec plays ${framesPerSecond} frames a second; speech will sound fast or slow.`,
    );
  }
  return warnings;
}
