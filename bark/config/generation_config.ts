// generation_config.json as types: every constant of the three stages, and how tokens are drawn.
// Keys keep their spelling, missing keys (or a missing file: `fromJSON({})`) get the defaults of
// the reference's classes.
// Beam search, penalties and the other logits processors of HF's GenerationConfig do not exist here
// and are refused when active. Reference: HF BarkGenerationConfig and its three stages.
import {
  bad,
  boolean,
  integer,
  isNull,
  number,
  optionalObjectAt,
  parsedJson,
  text,
  type JsonObject,
} from '../../runtime/base/json.ts';
import { refuseActive, unsupported } from './inactive_settings.ts';

/** How a causal stage draws its tokens. `null` turns a filter off. */
export interface SamplingConfig {
  do_sample: boolean;
  temperature: number | null;
  top_k: number | null;
  top_p: number | null;
}

export interface BarkSemanticGenerationConfig extends SamplingConfig {
  max_new_tokens: number;
  eos_token_id: number;
  /** Added to a text token's id. */
  text_encoding_offset: number;
  text_pad_token: number;
  /**
   * Pads the history. The reference takes `eos_token_id` for it whatever the file says, and so does
   * this.
   */
  semantic_pad_token: number;
  semantic_infer_token: number;
  semantic_vocab_size: number;
  /** Text tokens of a prompt, and history tokens. */
  max_input_semantic_length: number;
  semantic_rate_hz: number;
  /**
   * By transformers' rule, so it is the default of the option minEosPRaw. HF reads it only from its
   * call arguments; null where the file has none.
   */
  min_eos_p: number | null;
}

export interface BarkCoarseGenerationConfig extends SamplingConfig {
  coarse_semantic_pad_token: number;
  coarse_infer_token: number;
  coarse_rate_hz: number;
  n_coarse_codebooks: number;
  /** Semantic tokens of a window's prompt. */
  max_coarse_input_length: number;
  /** Coarse tokens of a window's prompt, at most. */
  max_coarse_history: number;
  /** Coarse tokens that a window generates. */
  sliding_window_len: number;
}

interface BarkFineGenerationConfig {
  /** null, and in the reference also exactly 1, take the likeliest code. */
  temperature: number | null;
  /** Frames. */
  max_fine_history_length: number;
  /** Frames. */
  max_fine_input_length: number;
  n_fine_codebooks: number;
}

export interface BarkGenerationConfig {
  semantic_config: BarkSemanticGenerationConfig;
  coarse_acoustics_config: BarkCoarseGenerationConfig;
  fine_acoustics_config: BarkFineGenerationConfig;
  codebook_size: number;
  /** Hz. */
  sample_rate: number;
}

export const BarkGenerationConfig = {
  /**
   * Reads a parsed generation_config.json. Throws `WeightsError` for a value that cannot be,
   * `UnsupportedError` for a feature that is not here.
   */
  fromJSON(json: unknown, label?: string): BarkGenerationConfig {
    const from = parsedJson('BarkGenerationConfig.fromJSON', json, label, 'generation_config.json');
    text(from, 'model_type', { default: 'bark', among: ['bark'] });
    const semantic_config = semantic(optionalObjectAt(from, 'semantic_config'));
    const coarse_acoustics_config = coarse(optionalObjectAt(from, 'coarse_acoustics_config'));
    const seconds = semantic_config.max_new_tokens / semantic_config.semantic_rate_hz;
    const longest = Math.floor(seconds * coarse_acoustics_config.coarse_rate_hz);
    return {
      semantic_config,
      coarse_acoustics_config,
      fine_acoustics_config: fine(optionalObjectAt(from, 'fine_acoustics_config'), longest),
      codebook_size: integer(from, 'codebook_size', { default: 1024, min: 1 }),
      sample_rate: integer(from, 'sample_rate', { default: 24_000, min: 1, max: 768_000 }),
    };
  },
};

const STAGES = ['semantic_config', 'coarse_acoustics_config', 'fine_acoustics_config'];

/**
 * What messages call a generation_config.json: it is as good as empty where transformers wrote it
 * for a new model, and then suno's numbers hold.
 */
export function generationName(file: string, json: unknown): string {
  const lacks = STAGES.filter((key) => typeof json !== 'object' || json === null || !Object.hasOwn(json, key));
  return lacks.length === 0 ? file : `${file} (without ${lacks.join(', ')}: suno's defaults)`;
}

function semantic(from: JsonObject): BarkSemanticGenerationConfig {
  const token = (key: string, fallback: number) => integer(from, key, { default: fallback, min: 0 });
  const eos_token_id = endToken(from);
  refuseActive(from);
  return {
    ...sampling(from),
    max_new_tokens: isNull(from, 'max_new_tokens') ? 768 : integer(from, 'max_new_tokens', { default: 768, min: 1 }),
    eos_token_id,
    text_encoding_offset: token('text_encoding_offset', 10_048),
    text_pad_token: token('text_pad_token', 129_595),
    semantic_pad_token: eos_token_id,
    semantic_infer_token: token('semantic_infer_token', 129_599),
    semantic_vocab_size: integer(from, 'semantic_vocab_size', { default: 10_000, min: 1 }),
    max_input_semantic_length: integer(from, 'max_input_semantic_length', { default: 256, min: 1 }),
    semantic_rate_hz: rate(from, 'semantic_rate_hz', 49.9),
    min_eos_p: optional(from, 'min_eos_p', null, 1) || null, // 0 is off
  };
}

function coarse(from: JsonObject): BarkCoarseGenerationConfig {
  const n_coarse_codebooks = integer(from, 'n_coarse_codebooks', { default: 2, min: 1 });
  const sliding_window_len = integer(from, 'sliding_window_len', { default: 60, min: 1 });
  refuseActive(from);
  // transformers would stop a window at such a token; Bark's windows have a known length.
  if (!isNull(from, 'eos_token_id') && Object.hasOwn(from.values, 'eos_token_id'))
    throw unsupported(from, 'eos_token_id', from.values.eos_token_id, 'null');
  // The coarse stage alternates between exactly two codebooks, counting from each window's start.
  if (n_coarse_codebooks !== 2) throw unsupported(from, 'n_coarse_codebooks', n_coarse_codebooks, '2');
  if (sliding_window_len % 2 !== 0)
    throw unsupported(
      from,
      'sliding_window_len',
      sliding_window_len,
      'an even number, so that each window starts at the first codebook',
    );
  return {
    ...sampling(from),
    coarse_semantic_pad_token: integer(from, 'coarse_semantic_pad_token', { default: 12_048, min: 0 }),
    coarse_infer_token: integer(from, 'coarse_infer_token', { default: 12_050, min: 0 }),
    coarse_rate_hz: rate(from, 'coarse_rate_hz', 75),
    n_coarse_codebooks,
    max_coarse_input_length: integer(from, 'max_coarse_input_length', { default: 256, min: 1 }),
    max_coarse_history: integer(from, 'max_coarse_history', { default: 630, min: 1 }),
    sliding_window_len,
  };
}

/** `longest`: the frames of the longest speech. */
function fine(from: JsonObject, longest: number): BarkFineGenerationConfig {
  const temperature = optional(from, 'temperature', 1, Infinity);
  if (temperature === 0) throw bad(from, 'temperature', 0, 'a number above 0, or null for the likeliest code');
  const max_fine_input_length = integer(from, 'max_fine_input_length', { default: 1024, min: 1 });
  const max_fine_history_length = integer(from, 'max_fine_history_length', { default: 512, min: 1 });
  // A window's new frames are those behind its history. With more history than half a window, and
  // speech of more than one window, there are frames between the windows that none draws.
  const most = longest > max_fine_input_length ? Math.floor(max_fine_input_length / 2) : max_fine_input_length;
  if (max_fine_history_length > most) {
    const of = `${most < max_fine_input_length ? 'half of ' : ''}max_fine_input_length (${max_fine_input_length})`;
    throw bad(from, 'max_fine_history_length', max_fine_history_length, `a whole number from 1 to ${most}, ${of}`);
  }
  return {
    temperature,
    max_fine_history_length,
    max_fine_input_length,
    n_fine_codebooks: integer(from, 'n_fine_codebooks', { default: 8, min: 2 }),
  };
}

/** HF allows a list of end tokens; Bark has one. */
function endToken(from: JsonObject): number {
  const list = from.values.eos_token_id;
  if (!Array.isArray(list)) return integer(from, 'eos_token_id', { default: 10_000, min: 0 });
  const [only] = list as unknown[];
  if (list.length !== 1 || !Number.isInteger(only) || (only as number) < 0)
    throw unsupported(from, 'eos_token_id', list, 'one token');
  return only as number;
}

function sampling(from: JsonObject): SamplingConfig {
  const do_sample = isNull(from, 'do_sample') ? false : boolean(from, 'do_sample', { default: false });
  const temperature = optional(from, 'temperature', 1, Infinity);
  if (do_sample && temperature === 0)
    throw bad(from, 'temperature', 0, 'a number above 0 (for greedy tokens set do_sample to false)');
  // 50 is what GenerationConfig falls back to, also for null; 0 is how a file says "off".
  const top_k = isNull(from, 'top_k') ? 50 : integer(from, 'top_k', { default: 50, min: 0 }) || null;
  return { do_sample, temperature, top_k, top_p: optional(from, 'top_p', 1, 1) };
}

function rate(from: JsonObject, key: string, fallback: number): number {
  const value = number(from, key, { default: fallback, min: 0 });
  if (value === 0) throw bad(from, key, value, 'a number above 0');
  return value;
}

function optional<T extends number | null>(from: JsonObject, key: string, fallback: T, max: number): number | null {
  if (isNull(from, key) || (fallback === null && !Object.hasOwn(from.values, key))) return null;
  return number(from, key, {
    ...(fallback === null ? {} : { default: fallback as number }),
    min: 0,
    ...(max === Infinity ? {} : { max }),
  });
}

// Values under which each of HF's other logits processors and search modes does nothing.
// A key that changes tokens in the reference and not here must not pass in silence.
