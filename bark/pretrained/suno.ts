// suno's own checkpoints: text(_2).pt, coarse(_2).pt and fine(_2).pt, each one GPT as its trainer
// saved it, as one checkpoint under Hugging Face's names and the configs that their model_args say.
// Opening reads headers; the optimizer's state is never read.
// They hold no codec and no tokenizer: where those come from is pretrained.ts's.
// Reference: suno-ai/bark generation.py (_load_model), model.py, model_fine.py; HF
// convert_suno_to_hf.py.

import type { Checkpoint } from '../../runtime/formats/checkpoint.ts';
import { META_FILE } from '../../encodec/checkpoint.ts';
import { joined, renamed } from '../../runtime/formats/views.ts';
import { WeightsError } from '../../runtime/base/errors.ts';
import { boolean, integer, jsonObject, type JsonObject } from '../../runtime/base/json.ts';
import { openTorchFile } from '../../runtime/formats/torch/file.ts';
import { BarkCoarseConfig, BarkFineConfig, BarkSemanticConfig } from '../config/config.ts';
import type { ModelSource, OpenOptions } from '../../runtime/files/model_source.ts';

/**
 * suno's files of each stage, the preferred one first: `_2` is the large model, and suno's own
 * default.
 */
const FILES = {
  semantic: ['text_2.pt', 'text.pt'],
  coarse_acoustics: ['coarse_2.pt', 'coarse.pt'],
  fine_acoustics: ['fine_2.pt', 'fine.pt'],
} as const;

type Stage = keyof typeof FILES;

/** The file of each stage. */
export type SunoFiles = Readonly<Record<Stage, string>>;

export interface SunoModel {
  readonly semantic_config: BarkSemanticConfig;
  readonly coarse_acoustics_config: BarkCoarseConfig;
  readonly fine_acoustics_config: BarkFineConfig;
  /** The three GPTs under HF's names. */
  readonly checkpoint: Checkpoint;
}

/**
 * Which of suno's files a folder has, sizes mixed as they come; undefined where it has none. Throws
 * `WeightsError` for a stage that is missing.
 */
export async function findSunoFiles(source: ModelSource, options?: OpenOptions): Promise<SunoFiles | undefined> {
  const found: Partial<Record<Stage, string>> = {};
  for (const [stage, files] of Object.entries(FILES) as [Stage, readonly string[]][]) {
    for (const file of files) if (found[stage] === undefined && (await source.has(file, options))) found[stage] = file;
  }
  if (Object.keys(found).length === 0) return undefined;
  const missing = (Object.keys(FILES) as Stage[])
    .filter((stage) => found[stage] === undefined)
    .map((stage) => FILES[stage].join(' or '));
  if (missing.length === 0) return found as SunoFiles;
  throw new WeightsError(
    `${source.label}: got ${Object.values(found).join(' and ')} without ${missing.join(' and without ')}, expected all three of suno's models. Put the others beside ${found.semantic ? 'it' : 'them'}.`,
  );
}

const TORCH_HUB = 'torch/hub/checkpoints/';

/**
 * Where Meta's codec is: in the folder or, as suno's code keeps it, in the cache of torch.hub inside
 * it or beside it (~/.cache/torch is beside ~/.cache/suno/bark_v0).
 */
export async function findSunoCodec(
  source: ModelSource,
  options?: OpenOptions,
): Promise<{ place: ModelSource; folder: string } | undefined> {
  if (await source.has(META_FILE, options)) return { place: source, folder: '' };
  if (source.names && (await source.has(TORCH_HUB + META_FILE, options))) return { place: source, folder: TORCH_HUB };
  for (const above of ['..', '../..']) {
    const place = await source.near?.(`${above}/${TORCH_HUB}`);
    if (await place?.has(META_FILE, options)) return { place: place!, folder: '' };
  }
  return undefined;
}

/**
 * Opens the three files. Throws `WeightsError` for one that is damaged or that is none of suno's.
 */
export async function openSuno(source: ModelSource, files: SunoFiles, options?: OpenOptions): Promise<SunoModel> {
  const parts = new Map<string, Checkpoint>();
  try {
    const open = async <T>(stage: Stage, read: (args: JsonObject) => T): Promise<T> => {
      const { checkpoint, args } = await openStage(source, files[stage], options);
      parts.set(
        `${stage}.`,
        renamed(checkpoint, (name) => hfName(stage, name)),
      );
      return read(args);
    };
    const semantic_config = await open('semantic', (args) =>
      BarkSemanticConfig.fromJSON(gptConfig(args), args.label, args.path),
    );
    const coarse_acoustics_config = await open('coarse_acoustics', (args) =>
      BarkCoarseConfig.fromJSON(gptConfig(args), args.label, args.path),
    );
    const fine_acoustics_config = await open('fine_acoustics', (args) =>
      BarkFineConfig.fromJSON(fineConfig(args), args.label, args.path),
    );
    return { semantic_config, coarse_acoustics_config, fine_acoustics_config, checkpoint: joined(source.label, parts) };
  } catch (error) {
    for (const part of parts.values()) await part.close();
    throw error;
  }
}

async function openStage(
  source: ModelSource,
  name: string,
  options?: OpenOptions,
): Promise<{ checkpoint: Checkpoint; args: JsonObject }> {
  const file = await openTorchFile(await source.open(name, options));
  try {
    const of = (key: string) => (file.root instanceof Map ? file.root.get(key) : undefined);
    const [model, args] = [of('model'), of('model_args')];
    if (!(model instanceof Map && args instanceof Map)) {
      throw new WeightsError(
        `${file.label}: got a PyTorch file without ${model instanceof Map ? 'model_args' : 'a model'}, expected one of suno's, with model and model_args. Fetch it from suno/bark.`,
      );
    }
    return { checkpoint: file.checkpoint(model), args: jsonObject(Object.fromEntries(args), file.label, 'model_args') };
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** model_args as the keys of HF's config. Defaults are those of suno's GPTConfig. */
function gptConfig(args: JsonObject): Record<string, unknown> {
  const size = (key: string, fallback?: number) =>
    integer(args, key, { min: 1, ...(fallback === undefined ? {} : { default: fallback }) });
  // suno's loader: without input_vocab_size there is one vocab_size for both.
  const [input, output] = Object.hasOwn(args.values, 'input_vocab_size')
    ? [size('input_vocab_size'), size('output_vocab_size', 10_048)]
    : [size('vocab_size'), size('vocab_size')];
  return {
    block_size: size('block_size', 1024),
    input_vocab_size: input,
    output_vocab_size: output,
    num_layers: size('n_layer', 12),
    num_heads: size('n_head', 12),
    hidden_size: size('n_embd', 768),
    bias: boolean(args, 'bias', { default: true }),
  };
}

/** Defaults are those of suno's FineGPTConfig; its heads are tied to its tables always. */
function fineConfig(args: JsonObject): Record<string, unknown> {
  const n_codes_total = integer(args, 'n_codes_total', { default: 8, min: 1 });
  return {
    ...gptConfig(args),
    n_codes_total,
    n_codes_given: integer(args, 'n_codes_given', { default: 1, min: 1 }),
    tie_word_embeddings: true,
  };
}

const NAMES: ReadonlyMap<string, string | undefined> = new Map([
  ['_orig_mod', undefined], // torch.compile's
  ['module', undefined], // DataParallel's
  ['transformer', undefined],
  ['h', 'layers'],
  ['ln_1', 'layernorm_1'],
  ['ln_2', 'layernorm_2'],
  ['ln_f', 'layernorm_final'],
  ['wpe', 'position_embeds_layer'],
  ['wte', 'input_embeds_layer'],
  ['wtes', 'input_embeds_layers'],
  ['c_attn', 'att_proj'],
  ['c_proj', 'out_proj'],
  ['c_fc', 'in_proj'],
]);

/** HF's name of a tensor of suno's; undefined for the attention masks, which are no weights. */
export function hfName(stage: string, name: string): string | undefined {
  if (name.endsWith('.attn.bias')) return undefined;
  const parts = name.split('.').flatMap((part) => (NAMES.has(part) ? (NAMES.get(part) ?? []) : part));
  return [stage, ...parts].join('.');
}
