// config.json and generation_config.json of a converted model. transformers types some numbers as
// float and refuses 1 in place of 1.0, but JSON.stringify writes 1. So numbers from a file are
// written as they were spelled there, and numbers typed as float that lack a point get one.
// Checks nothing: the configs were checked when the model was opened.
// Reference: HF PreTrainedConfig.to_json_string (5.23).
import { WeightsError } from '../../runtime/base/errors.ts';
import { readText } from '../../runtime/files/read.ts';
import type { Pretrained } from '../pretrained/pretrained.ts';
import type { OpenOptions } from '../../runtime/files/model_source.ts';

// Numbers are kept as strings that start with this mark; it is random, so no file can contain it.
const MARK = `\u0000${crypto.randomUUID()} `;
const MAX_DEPTH = 64; // levels of objects and lists; a real config has three

/** Parses JSON so that `print` writes its numbers again as they are spelled in `text`. */
function parse(text: string): Record<string, unknown> {
  const marked = text.replace(
    /("[^"\\]*(?:\\.[^"\\]*)*")|(-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)/g,
    (_, string: string | undefined, number: string) => string ?? JSON.stringify(MARK + number),
  );
  return JSON.parse(marked) as Record<string, unknown>;
}

function print(value: unknown): string {
  const mark = JSON.stringify(MARK).slice(0, -1);
  return `${JSON.stringify(spelled(value), null, 2).replace(/"[^"\\]*(?:\\.[^"\\]*)*"/g, (string) => (string.startsWith(mark) ? string.slice(mark.length, -1) : string))}\n`;
}

const FLOAT_KEYS = [
  'target_bandwidths',
  'trim_right_ratio',
  'initializer_range',
  'temperature',
  'top_p',
  'min_eos_p',
  'semantic_rate_hz',
  'dropout',
];

/** The same value with its numbers as marked strings; those typed as float get a point. */
function spelled(value: unknown, key = '', depth = 0): unknown {
  if (depth > MAX_DEPTH)
    throw new WeightsError(
      `config.json: got objects nested more than ${MAX_DEPTH} deep, expected a config. Fetch the model again.`,
    );
  if (typeof value === 'number') return spelled(MARK + String(value), key);
  if (typeof value === 'string')
    return value.startsWith(MARK) && FLOAT_KEYS.includes(key) && /^-?\d+$/.test(value.slice(MARK.length))
      ? `${value}.0`
      : value;
  if (Array.isArray(value)) return value.map((item) => spelled(item, key, depth + 1));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, spelled(item, name, depth + 1)]));
}

const PARTS = {
  semantic_config: 'semantic',
  coarse_acoustics_config: 'coarse_acoustics',
  fine_acoustics_config: 'fine_acoustics',
  codec_config: 'encodec',
} as const;

/**
 * The text of config.json: the source's own, or one made from suno's model_args, with `dtype` noted
 * where transformers 5 notes it.
 */
export async function convertedConfig(
  { source, layout, config, codec }: Pretrained,
  dtype: 'float32' | 'float16',
  opening: OpenOptions,
): Promise<string> {
  const part = (key: keyof typeof PARTS) => ({ model_type: PARTS[key], ...config[key] });
  const json: Record<string, unknown> =
    layout === 'huggingface'
      ? parse(await readText(source, 'config.json', opening))
      : {
          architectures: ['BarkModel'],
          model_type: 'bark',
          initializer_range: 0.02,
          ...Object.fromEntries((Object.keys(PARTS) as (keyof typeof PARTS)[]).map((key) => [key, part(key)])),
        };
  if (codec) json.codec_config = part('codec_config');
  for (const values of [json, ...Object.keys(PARTS).map((key) => json[key] as Record<string, unknown>)]) {
    delete values.torch_dtype; // transformers 4's spelling of dtype
    values.dtype = dtype;
  }
  return print(json);
}

/**
 * The text of generation_config.json: the source's own, or for suno's models the values that the
 * Hub's model has. undefined where there is none and transformers uses its defaults.
 */
export async function convertedGenerationConfig(
  { source, layout, generation_config }: Pretrained,
  opening: OpenOptions,
): Promise<string | undefined> {
  if (await source.has('generation_config.json', opening)) return readText(source, 'generation_config.json', opening);
  return layout === 'suno' ? print({ model_type: 'bark', ...generation_config }) : undefined;
}
