// config.json and generation_config.json of a converted model. transformers types some numbers as
// float and wants a point in them, which JSON.stringify leaves out; so numbers that come from a
// file are kept as they were written, and such ones without a point get it. Checks nothing: the
// configs were read before.
// Reference: HF PreTrainedConfig.to_json_string (5.23).
import { WeightsError } from '../../runtime/base/errors.ts';
import { readText } from '../../runtime/files/read.ts';
import type { Pretrained } from '../pretrained/pretrained.ts';
import type { OpenOptions } from '../../runtime/files/model_source.ts';

// Before the text of a number, in a string; no file can know it.
const MARK = `\u0000${crypto.randomUUID()} `;
const MAX_DEPTH = 64; // of objects and lists; a config has three

/** JSON whose numbers `print` writes again as they are spelled in `text`. */
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

/**
 * Numbers as marked text; those that transformers types as float get a point, which files written
 * by JavaScript lack.
 */
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
 * config.json: the source's own, or one made from suno's model_args; `dtype` noted as transformers
 * 5 does.
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
    delete values.torch_dtype; // the older spelling
    values.dtype = dtype;
  }
  return print(json);
}

/**
 * generation_config.json: the source's own; for suno's models without one what the Hub has of them;
 * undefined where transformers has its defaults.
 */
export async function convertedGenerationConfig(
  { source, layout, generation_config }: Pretrained,
  opening: OpenOptions,
): Promise<string | undefined> {
  if (await source.has('generation_config.json', opening)) return readText(source, 'generation_config.json', opening);
  return layout === 'suno' ? print({ model_type: 'bark', ...generation_config }) : undefined;
}
