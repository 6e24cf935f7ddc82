// config.json as types: the sizes of the three GPTs and of the codec. Keys keep their spelling.
// Keys of a sub-model that are missing get the defaults of the reference's classes; the generation
// keys that old files carry here (temperature, top_k, max_length …) are unread: the real ones are
// in generation_config.json.
// Reference: HF BarkConfig, BarkSubModelConfig, BarkFineConfig.

import { EncodecConfig } from '../../encodec/config.ts';
import { UnsupportedError } from '../../runtime/base/errors.ts';
import { bad, boolean, integer, objectAt, parsedJson, pathOf, text, type JsonObject } from '../../runtime/base/json.ts';

/** Sizes of one GPT. */
export interface BarkSubModelConfig {
  /** Positions. */
  block_size: number;
  input_vocab_size: number;
  output_vocab_size: number;
  num_layers: number;
  num_heads: number;
  hidden_size: number;
  /** Linear layers and LayerNorms have biases. (The fine model's LayerNorms have them always.) */
  bias: boolean;
}

export type BarkSemanticConfig = BarkSubModelConfig;
export type BarkCoarseConfig = BarkSubModelConfig;

export interface BarkFineConfig extends BarkSubModelConfig {
  /** Codebooks there are in all. */
  n_codes_total: number;
  /** Codebooks that have no output head. */
  n_codes_given: number;
  /** Output head i is the embedding table of codebook i + 1. */
  tie_word_embeddings: boolean;
}

export interface BarkConfig {
  semantic_config: BarkSemanticConfig;
  coarse_acoustics_config: BarkCoarseConfig;
  fine_acoustics_config: BarkFineConfig;
  codec_config: EncodecConfig;
}

const FILE = 'config.json';
const HEAD_SIZE_MULTIPLE = 8; // eight halves are one vec4<u32> load
const MAX_HEAD_SIZE = 128;
const SIZE_LIMIT = 2 ** 24; // far above any Bark; keeps a mistyped size from becoming an allocation

export const BarkSemanticConfig = {
  /**
   * Throws `WeightsError` for a value that cannot be, `UnsupportedError` for a size that the
   * kernels cannot do.
   */
  fromJSON(json: unknown, label?: string, path = ''): BarkSemanticConfig {
    return subModel(parsedJson('BarkSemanticConfig.fromJSON', json, label, FILE, path), 'semantic');
  },
};

export const BarkCoarseConfig = {
  /** As `BarkSemanticConfig.fromJSON`. */
  fromJSON(json: unknown, label?: string, path = ''): BarkCoarseConfig {
    return subModel(parsedJson('BarkCoarseConfig.fromJSON', json, label, FILE, path), 'coarse_acoustics');
  },
};

export const BarkFineConfig = {
  /** As `BarkSemanticConfig.fromJSON`. */
  fromJSON(json: unknown, label?: string, path = ''): BarkFineConfig {
    const from = parsedJson('BarkFineConfig.fromJSON', json, label, FILE, path);
    const n_codes_total = integer(from, 'n_codes_total', { default: 8, min: 1, max: 1024 });
    const n_codes_given = integer(from, 'n_codes_given', { default: 1, min: 1, max: n_codes_total });
    const tie_word_embeddings = boolean(from, 'tie_word_embeddings', { default: true });
    return { ...subModel(from, 'fine_acoustics'), n_codes_total, n_codes_given, tie_word_embeddings };
  },
};

export const BarkConfig = {
  /**
   * Reads a parsed config.json. The four sub-models' objects must be there. Errors as in
   * `BarkSemanticConfig.fromJSON`.
   */
  fromJSON(json: unknown, label?: string): BarkConfig {
    const from = parsedJson('BarkConfig.fromJSON', json, label, FILE);
    text(from, 'model_type', { default: 'bark', among: ['bark'] });
    const part = <T>(key: string, reader: { fromJSON(json: unknown, label: string, path: string): T }) =>
      reader.fromJSON(objectAt(from, key).values, from.label, key);
    return {
      semantic_config: part('semantic_config', BarkSemanticConfig),
      coarse_acoustics_config: part('coarse_acoustics_config', BarkCoarseConfig),
      fine_acoustics_config: part('fine_acoustics_config', BarkFineConfig),
      codec_config: part('codec_config', EncodecConfig),
    };
  },
};

function subModel(from: JsonObject, modelType: string): BarkSubModelConfig {
  text(from, 'model_type', { default: modelType, among: [modelType] });
  const size = (key: string, fallback: number, ...aliases: string[]) =>
    integer(from, key, { default: fallback, min: 1, max: SIZE_LIMIT, aliases });
  const config: BarkSubModelConfig = {
    block_size: size('block_size', 1024, 'window_size'),
    input_vocab_size: size('input_vocab_size', 10_048, 'vocab_size'),
    output_vocab_size: size('output_vocab_size', 10_048),
    num_layers: size('num_layers', 12, 'num_hidden_layers'),
    num_heads: size('num_heads', 12, 'num_attention_heads'),
    hidden_size: size('hidden_size', 768),
    bias: boolean(from, 'bias', { default: true }),
  };
  const { hidden_size, num_heads } = config;
  if (hidden_size % num_heads !== 0)
    throw bad(from, 'num_heads', num_heads, `a divisor of hidden_size (${hidden_size})`);
  const headSize = hidden_size / num_heads;
  if (headSize % HEAD_SIZE_MULTIPLE !== 0 || headSize > MAX_HEAD_SIZE) {
    throw new UnsupportedError(
      `${from.label}: ${pathOf(from, 'hidden_size')} / num_heads is ${hidden_size} / ${num_heads} = ${headSize}, expected a head size that is ` +
        `a multiple of ${HEAD_SIZE_MULTIPLE}, at most ${MAX_HEAD_SIZE}. Use a model with other heads.`,
    );
  }
  return config;
}
