// Any model that this library reads → one folder in Hugging Face's layout, which transformers and
// this library load: configs, one model.safetensors, tokenizer, voices. tensors.ts plans the
// tensors, config.ts the two configs, output_folder.ts puts the folder in its place.
// Node and Deno.

import { eachAtOnce } from '../../runtime/base/each_at_once.ts';
import { InputError, UnsupportedError } from '../../runtime/base/errors.ts';
import { host } from '../../runtime/host/platform.ts';
import { readBytes, readText } from '../../runtime/files/read.ts';
import { safetensorsLayout, writeSafetensors } from '../../runtime/formats/safetensors_write.ts';
import { pathParts, type ModelSourceLike } from '../../runtime/sources/open_source.ts';
import { convertedConfig, convertedGenerationConfig } from './config.ts';
import { planTensors } from './tensors.ts';
import { fullDType, type DTypeName } from '../load_options.ts';
import { openOptions, openPretrained, type OpenPretrainedOptions } from '../pretrained/pretrained.ts';
import { findTokenizer } from '../processor/tokenizer.ts';
import { readVoiceList, VOICE_LIST } from '../processor/voice_list.ts';
import type { ModelSource, OpenOptions } from '../../runtime/files/model_source.ts';
import { type Place, openPlace, WEIGHTS, TOKENIZER_FILES } from './output_folder.ts';
import { fitGeneration } from '../config/check_generation.ts';

export interface ConvertOptions extends OpenPretrainedOptions {
  /** How the weights are stored, the codec's too. Default 'float16'. */
  dtype?: DTypeName | undefined;
  /**
   * Replace a model folder that is already there. A folder that holds anything but a model is never
   * touched. Default false.
   */
  force?: boolean | undefined;
  /**
   * Where to take the tokenizer from, and the voices where the model has none. Default: the model
   * itself; for suno's .pt files suno/bark-small of the Hub.
   */
  tokenizer?: ModelSourceLike | undefined;
  /** false leaves the voices out. Default true. */
  voices?: boolean | undefined;
}

export interface ConvertReport {
  folder: string;
  tensors: number;
  /** Size of model.safetensors. */
  bytes: number;
  /** Parts that were found neither in the model nor elsewhere: 'codec', 'tokenizer'. */
  missing: string[];
  warnings: string[];
}

const VOICES_AT_ONCE = 8;
const SPARE = 2 ** 24; // bytes of disk space for everything but the weights

/**
 * Writes the model `from` as the folder `to`. Throws `InputError` for a folder that cannot be
 * written or must not be replaced, the errors of loading for a model that cannot be read, and the
 * signal's reason when it is aborted. After an error `to` is as it was before.
 */
export async function convert(from: ModelSourceLike, to: string, options: ConvertOptions = {}): Promise<ConvertReport> {
  const { force = false, signal, onProgress } = options;
  const dtype = fullDType('convert', options.dtype);
  if (host === 'browser')
    throw new UnsupportedError('convert: got a browser, expected Node or Deno: a browser cannot write folders.');
  const place = await openPlace(to, force);
  const pretrained = await openPretrained(from, options);
  const { source, config, generation_config, generationLabel } = pretrained;
  const opening = openOptions(options);
  let weights: Awaited<ReturnType<typeof pretrained.openWeights>> | undefined;
  try {
    await place.refuse(source.label);
    const { warnings } = fitGeneration(config, generation_config, generationLabel);
    weights = await pretrained.openWeights({ codec: 'optional' });
    const plan = await planTensors(weights, config, dtype === 'float16' ? 'F16' : 'F32');
    const missing = [...plan.missing];
    signal?.throwIfAborted();
    const bytes = safetensorsLayout(plan.tensors).size;
    await place.start(bytes + SPARE);

    await place.write('config.json', await convertedConfig(pretrained, dtype, opening));
    const generation = await convertedGenerationConfig(pretrained, opening);
    if (generation !== undefined) await place.write('generation_config.json', generation);
    const tokenizer = await copyTokenizer(place, source, options);
    if (!tokenizer) missing.push('tokenizer');
    if (options.voices !== false)
      await copyVoices(place, [source, ...(tokenizer && tokenizer !== source ? [tokenizer] : [])], opening, warnings);
    await writeSafetensors(await place.path(WEIGHTS), plan.tensors, {
      signal,
      onBytes: (done, total) => onProgress?.({ stage: 'convert', done, total, file: WEIGHTS }),
    });
    await place.finish();

    warnings.push(...plan.warnings, ...overflowWarnings(plan.overflows, dtype));
    return { folder: place.folder, tensors: plan.tensors.length, bytes, missing, warnings };
  } catch (error) {
    await place.abandon();
    throw error;
  } finally {
    await (weights ?? pretrained).close();
  }
}

function overflowWarnings(overflows: ReadonlyMap<string, number>, dtype: string): string[] {
  const counts = [...overflows].sort((a, b) => b[1] - a[1]);
  if (counts.length === 0) return [];
  const all = counts.reduce((sum, [, count]) => sum + count, 0);
  const some = counts
    .slice(0, 3)
    .map(([name, count]) => `${name} (${count})`)
    .join(', ');
  return [
    `${all} value(s) are too large for ${dtype} and became infinite: ${some}${counts.length > 3 ? ` and ${counts.length - 3} more` : ''}. Convert with dtype 'float32'.`,
  ];
}

/**
 * Copies the tokenizer's files and returns where they lay; undefined where there is none and none
 * was asked for.
 */
async function copyTokenizer(
  place: Place,
  source: ModelSource,
  options: ConvertOptions,
): Promise<ModelSource | undefined> {
  const opening = openOptions(options);
  try {
    const found = await findTokenizer(source, options);
    const names: string[] = [];
    for (const name of TOKENIZER_FILES) if (await found.has(name, opening)) names.push(name);
    if (!names.includes('tokenizer.json') && !names.includes('vocab.txt')) {
      if (options.tokenizer === undefined) return undefined;
      throw new InputError(
        `${found.label}: got no tokenizer.json and no vocab.txt, expected one of them. Name another place of the tokenizer.`,
      );
    }
    for (const name of names) await place.write(name, await readBytes(found, name, opening));
    return found;
  } catch (error) {
    options.signal?.throwIfAborted();
    // The Hub may be out of reach; a place that was named may not.
    if (
      options.tokenizer !== undefined ||
      (await source.has('vocab.txt', opening)) ||
      (await source.has('tokenizer.json', opening))
    )
      throw error;
    return undefined;
  }
}

/** Copies the first list of voices that there is, and the files that it names. */
async function copyVoices(
  place: Place,
  sources: readonly ModelSource[],
  opening: OpenOptions,
  warnings: string[],
): Promise<void> {
  for (const source of sources) {
    if (!(await source.has(VOICE_LIST, opening))) continue;
    const label = `${source.label}/${VOICE_LIST}`;
    const voices = [...(await readVoiceList(source, opening))];
    const lost: string[] = [];
    await eachAtOnce(voices, VOICES_AT_ONCE, async ([name, voice]) => {
      const paths = Object.values(voice).map((path) => npyPath(label, path));
      const there = await Promise.all(paths.map((path) => source.has(path, opening)));
      if (!there.every(Boolean)) lost.push(name);
      else for (const path of paths) await place.write(path, await readBytes(source, path, opening));
    });
    if (lost.length > 0)
      warnings.push(
        `${label}: ${lost.length} voice(s) it lists have no files and were left out: ${lost.slice(0, 3).join(', ')}${lost.length > 3 ? ' …' : ''}.`,
      );
    const list = await readText(source, VOICE_LIST, opening);
    const kept = () =>
      Object.fromEntries(Object.entries(JSON.parse(list) as object).filter(([name]) => !lost.includes(name)));
    await place.write(VOICE_LIST, lost.length === 0 ? list : JSON.stringify(kept()));
    return;
  }
}

/** A path that can neither leave the folder nor be another file than a voice's. */
function npyPath(label: string, path: string): string {
  const parts = pathParts(label, path);
  if (parts.length > 1 && parts.at(-1)!.endsWith('.npy')) return parts.join('/');
  throw new InputError(
    `${label}: got the path ${JSON.stringify(path)}, expected a .npy file in a subfolder. Do not use this model before you know who made it.`,
  );
}

// The folder that is written.
