// Any model that this library reads → one folder of Hugging Face's layout, which transformers and
// this library load: configs, one model.safetensors, tokenizer, voices. It is built beside its
// place and renamed when all of it is on the disk, so a half-written folder is never found there.
// Which tensors there are is convert_tensors.ts's, which parts pretrained.ts's. Node and Deno.

import type { Dirent } from 'node:fs';
import { InputError, UnsupportedError } from '../../runtime/base/errors.ts';
import { host } from '../../runtime/host/platform.ts';
import { readBytes, readText } from '../../runtime/files/read.ts';
import { safetensorsLayout, writeSafetensors } from '../../runtime/formats/safetensors_write.ts';
import { pathParts, type ModelSourceLike } from '../../runtime/sources/open_source.ts';
import { convertedConfig, convertedGenerationConfig } from './config.ts';
import { planTensors } from './tensors.ts';
import { checkGeneration } from '../config/generation_config.ts';
import { openOptions, openPretrained, type OpenPretrainedOptions } from '../pretrained/pretrained.ts';
import { findTokenizer } from '../processor/tokenizer.ts';
import { readVoiceList, VOICE_LIST } from '../processor/voice_list.ts';
import type { ModelSource, OpenOptions } from '../../runtime/files/model_source.ts';

export interface ConvertOptions extends OpenPretrainedOptions {
  /** How the weights are stored, the codec's too. Default 'float16'. */
  dtype?: 'float32' | 'float16' | undefined;
  /**
   * Replace a model folder that is there. One that holds other things than a model is never
   * touched.
   */
  force?: boolean | undefined;
  /**
   * Where the tokenizer comes from, and voices where the model has none. Default: the model itself;
   * for suno's .pt files the Hub's suno/bark-small.
   */
  tokenizer?: ModelSourceLike | undefined;
  /** false leaves the voices out. Default true. */
  voices?: boolean | undefined;
}

export interface ConvertReport {
  folder: string;
  tensors: number;
  /** Of model.safetensors. */
  bytes: number;
  /** Parts that were neither in the model nor to be had: 'codec', 'tokenizer'. */
  missing: string[];
  warnings: string[];
}

const WEIGHTS = 'model.safetensors';
const TOKENIZER_FILES = ['tokenizer.json', 'vocab.txt', 'tokenizer_config.json', 'special_tokens_map.json'];
/** All that a folder of ours holds, next to subfolders of .npy files. */
const OUR_FILES: readonly string[] = ['config.json', 'generation_config.json', WEIGHTS, VOICE_LIST, ...TOKENIZER_FILES];
const VOICES_AT_ONCE = 8;
const SPARE = 2 ** 24; // bytes of disk for all but the weights

/**
 * Writes the model `from` as the folder `to`. Throws `InputError` for a place that cannot be
 * written or must not be, the errors of loading for a model that cannot be read, and the signal's
 * reason when aborted; then `to` is as it was.
 */
export async function convert(from: ModelSourceLike, to: string, options: ConvertOptions = {}): Promise<ConvertReport> {
  const { dtype = 'float16', force = false, signal, onProgress } = options;
  if (dtype !== 'float16' && dtype !== 'float32')
    throw new InputError(`dtype: got ${JSON.stringify(dtype)}, expected 'float16' or 'float32'.`);
  if (host === 'browser')
    throw new UnsupportedError('convert: got a browser, expected Node or Deno: a browser cannot write folders.');
  const place = await openPlace(to, force);
  const pretrained = await openPretrained(from, options);
  const { source, config, generation_config, generationLabel } = pretrained;
  const opening = openOptions(options);
  let weights: Awaited<ReturnType<typeof pretrained.openWeights>> | undefined;
  try {
    await place.refuse(source.label);
    const warnings = checkGeneration(config, generation_config, generationLabel);
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
    let next = 0;
    const copier = async () => {
      while (next < voices.length) {
        const [name, voice] = voices[next++]!;
        const paths = Object.values(voice).map((path) => npyPath(label, path));
        const there = await Promise.all(paths.map((path) => source.has(path, opening)));
        if (!there.every(Boolean)) lost.push(name);
        else for (const path of paths) await place.write(path, await readBytes(source, path, opening));
      }
    };
    await Promise.all(Array.from({ length: VOICES_AT_ONCE }, copier));
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

interface Place {
  readonly folder: string;
  /** Throws `InputError` where `label` is this very folder. */
  refuse(label: string): Promise<void>;
  /** Makes the folder that is built, after a look at the free space. */
  start(bytes: number): Promise<void>;
  /** Where a file is built. */
  path(file: string): Promise<string>;
  write(file: string, content: string | Uint8Array): Promise<void>;
  /** Puts the folder in its place. */
  finish(): Promise<void>;
  /** Takes away what was built. */
  abandon(): Promise<void>;
}

async function openPlace(to: string, force: boolean): Promise<Place> {
  const fs = await import('node:fs/promises');
  const { basename, dirname, join, resolve } = await import('node:path');
  const failed = (cause: unknown): never => {
    if (cause instanceof InputError) throw cause;
    throw new InputError(
      `${to}: got ${(cause as NodeJS.ErrnoException).code ?? String(cause)} while writing, expected a folder that can be written. Check its permissions and the free space.`,
      { cause },
    );
  };
  if (to.trim() === '') throw new InputError('convert: got an empty path, expected the folder to write.');
  const folder = await fs.realpath(to).catch(() => resolve(to));
  const parent = dirname(folder);
  if (parent === folder)
    throw new InputError(`${to}: got the root of a disk, expected a folder to write. Name a new one.`);
  const beside = (end: string) => join(parent, `.${basename(folder).slice(0, 100)}.${crypto.randomUUID()}.${end}`);
  const building = beside('tmp');
  let firstMade: string | undefined; // of the folders above

  const check = async (): Promise<boolean> => {
    const found = await fs.lstat(folder).catch(() => undefined);
    if (!found) return false;
    if (!found.isDirectory()) throw new InputError(`${to}: got a file, expected a folder to write. Name a new one.`);
    if ((await fs.readdir(folder)).length === 0) return true;
    if (!force)
      throw new InputError(
        `${to}: got a folder that is not empty, expected a new one. Set force (--force) to replace it, or name another.`,
      );
    const foreign = await foreignFile(folder);
    if (foreign !== undefined)
      throw new InputError(
        `${to}: got a folder with ${JSON.stringify(foreign)}, expected nothing but a converted model to replace. Name a new folder, or clear this one yourself.`,
      );
    return true;
  };
  await check();

  const full = async (file: string) => {
    const path = join(building, file);
    await fs.mkdir(dirname(path), { recursive: true }).catch(failed);
    return path;
  };
  const sync = async (path: string) => {
    const handle = await fs.open(path, 'r').catch(() => undefined); // not every system opens folders
    await handle?.sync().catch(() => {});
    await handle?.close();
  };
  return {
    folder: to,
    async refuse(label) {
      if ((await fs.realpath(label).catch(() => undefined)) === folder)
        throw new InputError(`${to}: got the same folder twice, expected another one to write. Name a new folder.`);
    },
    async start(bytes) {
      firstMade = await fs.mkdir(parent, { recursive: true }).catch(failed);
      const free = await fs.statfs(parent).catch(() => undefined);
      if (free && free.bavail * free.bsize < bytes)
        throw new InputError(
          `${to}: got ${free.bavail * free.bsize} bytes of free space, expected ${bytes}. Make room, or name a folder on another disk.`,
        );
      await removeStale(parent, basename(folder), 'tmp');
      await fs.mkdir(building).catch(failed);
    },
    path: full,
    async write(file, content) {
      const handle = await fs.open(await full(file), 'wx').catch((cause: NodeJS.ErrnoException) => {
        if (cause.code !== 'EEXIST') failed(cause); // voices may share a file
      });
      try {
        await handle?.writeFile(content).catch(failed);
        await handle?.sync().catch(failed);
      } finally {
        await handle?.close();
      }
    },
    async finish() {
      await sync(building);
      if (await check()) {
        const old = beside('old');
        await fs.rename(folder, old).catch(failed);
        await fs.rename(building, folder).catch(async (cause: unknown) => {
          await fs.rename(old, folder);
          failed(cause);
        });
        await fs.rm(old, { recursive: true }).catch(failed);
      } else await fs.rename(building, folder).catch(failed);
      await sync(parent);
      // only now: until there is a new model, an old one may be the only one
      await removeStale(parent, basename(folder), 'old');
    },
    async abandon() {
      await fs.rm(building, { recursive: true, force: true }).catch(() => {});
      for (
        let made = firstMade && parent;
        made !== undefined && made.length >= firstMade!.length;
        made = dirname(made)
      ) {
        if (
          !(await fs.rmdir(made).then(
            () => true,
            () => false,
          ))
        )
          break; // somebody else's by now
      }
    },
  };
}

const STALE = 3_600_000; // ms without a change; a conversion that runs writes all the time

/** Takes away what conversions to the same place left that were killed. */
async function removeStale(parent: string, name: string, ending: 'tmp' | 'old'): Promise<void> {
  const fs = await import('node:fs/promises');
  const start = `.${name.slice(0, 100)}.`;
  const left = (await fs.readdir(parent).catch(() => [])).filter(
    (entry) =>
      entry.startsWith(start) && /^[\da-f-]{36}\.\w+$/.test(entry.slice(start.length)) && entry.endsWith(ending),
  );
  for (const entry of left) {
    const path = `${parent}/${entry}`;
    const files = await fs.readdir(path, { recursive: true }).catch(() => undefined);
    if (!files) continue;
    const times = await Promise.all(
      ['', ...files].map((file) =>
        fs.lstat(`${path}/${file}`).then(
          ({ mtimeMs }) => mtimeMs,
          () => Infinity,
        ),
      ),
    );
    if (Date.now() - Math.max(...times) > STALE) await fs.rm(path, { recursive: true, force: true }).catch(() => {});
  }
}

/**
 * The first thing in a folder that no conversion writes: anything but our files, and subfolders of
 * .npy files.
 */
async function foreignFile(folder: string): Promise<string | undefined> {
  const fs = await import('node:fs/promises');
  const walk = async (path: string): Promise<string | undefined> => {
    const allowed = (entry: Dirent) =>
      entry.isFile() && (path === '' ? OUR_FILES.includes(entry.name) : entry.name.endsWith('.npy'));
    for (const entry of await fs.readdir(`${folder}/${path}`, { withFileTypes: true })) {
      const name = path === '' ? entry.name : `${path}/${entry.name}`;
      const foreign = entry.isDirectory() ? await walk(name) : allowed(entry) ? undefined : name;
      if (foreign !== undefined) return foreign;
    }
    return undefined;
  };
  // Subfolders of .npy files alone are somebody's data.
  const isModel = (await fs.stat(`${folder}/config.json`).catch(() => undefined))?.isFile() === true;
  return isModel ? walk('') : (await fs.readdir(folder))[0];
}
