// A voice preset: what a speaker said before, as tokens of the three stages, in front of which new
// speech is continued.
// Reads suno's .npz and Hugging Face's three .npy; writes .npz that both read. A model's own voices
// by name are voice_list.ts's.
// Does not record, clone or play. Reference: suno-ai/bark generation.py (the rules), HF
// processing_bark.py (the files).
import { InputError, WeightsError, madeBy } from '../../runtime/base/errors.ts';
import { shown } from '../../runtime/base/messages.ts';
import { checkOptions, isBag, isPromise } from '../../runtime/base/options.ts';
import { checkPath, writeFile } from '../../runtime/host/write_file.ts';
import { parseNpy, writeNpz, type IntegerArray } from '../../runtime/formats/npy.ts';
import { readBytes } from '../../runtime/files/read.ts';
import { blobBytes, openModelSource } from '../../runtime/sources/open_source.ts';
import { BarkGenerationConfig } from '../config/generation_config.ts';
import type { ModelSource, OpenOptions } from '../../runtime/files/model_source.ts';
import { checkVoice, voiceDoubts } from './check_voice.ts';
import { mendVoice } from './mend_voice.ts';
import { readVoiceArrays, type VoiceArrays } from './voice_archive.ts';
import {
  PROMPTS,
  type Prompt,
  DIMENSIONS,
  type PromptLike,
  type VoiceTokens,
  isFlat,
  toArray,
  rows,
  wrong,
} from './prompt_arrays.ts';

const FILE_LIMIT = 64 * 2 ** 20; // bytes; a preset has some ten thousand
/** What `VoicePreset.from` takes; a `VoicePreset` is one itself. */
export type VoicePresetLike = Readonly<Record<Prompt, PromptLike>> & {
  readonly shapes?: Readonly<Record<Prompt, readonly number[]>>;
};

export interface VoiceLoadOptions {
  /** Mends what is nearly right; `warnings` says how. What cannot be mended is an error. */
  repair?: boolean | undefined;
  /** Whose rules a mended voice follows, `processor.generation_config`; default: suno's. */
  generation_config?: BarkGenerationConfig | undefined;
}

/** How a voice's files are opened, and the rules to mend it by. */
export interface ReadVoice extends OpenOptions {
  readonly repair?: BarkGenerationConfig | undefined;
}

export class VoicePreset {
  /** Semantic tokens [S]. */
  readonly semantic_prompt: Int32Array<ArrayBuffer>;
  /** Codes of the coarse codebooks [2, F], row-major, each from 0. */
  readonly coarse_prompt: Int32Array<ArrayBuffer>;
  /** Codes of all codebooks [8, F], row-major, each from 0. */
  readonly fine_prompt: Int32Array<ArrayBuffer>;
  readonly shapes: VoiceTokens['shapes'];
  /** What errors call it: a file, a name, or 'voice'. */
  readonly label: string;
  /** In plain words: what `repair` mended, or what is odd about the voice though it can be used. */
  readonly warnings: readonly string[];

  /**
   * Throws `WeightsError` for arrays that are not one-, two- and two-dimensional, but for a batch
   * of one. `load` and `from` are the usual doors.
   */
  constructor(
    arrays: Readonly<Record<Prompt, IntegerArray>> = madeBy('VoicePreset', 'VoicePreset.load(path)'),
    label = 'voice',
    warnings: readonly string[] = [],
  ) {
    const shapes = PROMPTS.map((prompt): [Prompt, number[]] => [
      prompt,
      withoutBatch(arrays[prompt].shape, DIMENSIONS[prompt]),
    ]);
    for (const [prompt, shape] of shapes) {
      if (shape.length !== DIMENSIONS[prompt])
        throw wrong(label, `${prompt} has shape [${shape.join(', ')}]`, `${DIMENSIONS[prompt]} dimension(s)`);
    }
    this.semantic_prompt = arrays.semantic_prompt.data;
    this.coarse_prompt = arrays.coarse_prompt.data;
    this.fine_prompt = arrays.fine_prompt.data;
    this.shapes = Object.fromEntries(shapes) as unknown as VoicePreset['shapes'];
    this.label = label;
    this.warnings = [...warnings, ...voiceDoubts(this)];
  }

  /**
   * Reads a .npz file, or three .npy files by the prefix they share ('ada' for
   * ada_semantic_prompt.npy …) or by any one of them. Takes a path, an http(s): or file: URL, or a
   * .npz as a Blob. Throws `WeightsError` for a missing or damaged file.
   * With `repair`, a voice that is nearly right is mended, and `warnings` says how.
   */
  static async load(from: string | URL | Blob, options: VoiceLoadOptions = {}): Promise<VoicePreset> {
    checkOptions('VoicePreset.load', options, ['repair', 'generation_config']);
    const reading = { repair: repairRules(options) };
    if (from instanceof Blob) {
      const label = 'name' in from && typeof from.name === 'string' ? from.name : 'voice';
      const files: ModelSource = { label, has: async () => true, open: async () => blobBytes(from, label) };
      return readNpzVoice(files, '.', label, reading);
    }
    const found = await findVoice(from, reading);
    if (!found)
      throw new WeightsError(
        `${split(from).label}: got no such voice, expected a .npz file or three .npy files. Check the path.`,
      );
    return found;
  }

  /**
   * Makes a preset of arrays; they are copied. Throws `InputError` for values that are no whole
   * numbers or rows of unequal length.
   */
  static from(arrays: VoicePresetLike, label = 'voice'): VoicePreset {
    if (arrays instanceof VoicePreset) return arrays;
    if (!isBag(arrays))
      throw new InputError(
        `${label}: got ${shown(arrays, 'setting')}, expected semantic_prompt, coarse_prompt and fine_prompt. ${isPromise(arrays) ? 'Write await before it.' : 'A name goes to processor.encode(text, { voicePreset }), a file to VoicePreset.load.'}`,
      );
    const given = (prompt: Prompt): IntegerArray => {
      const value = arrays[prompt];
      if (typeof value !== 'object' || value === null)
        throw new InputError(`${label}: got no ${prompt}, expected semantic_prompt, coarse_prompt and fine_prompt.`);
      const shape = arrays.shapes?.[prompt];
      return toArray(shape && isFlat(value) ? { data: value, shape } : value, `${label}: ${prompt}`);
    };
    const semantic_prompt = given('semantic_prompt');
    const coarse_prompt = given('coarse_prompt');
    const fine_prompt = given('fine_prompt');
    // Flat codes: two rows of coarse ones say how long a row is.
    if (coarse_prompt.shape.length === 1)
      coarse_prompt.shape = rows(coarse_prompt, coarse_prompt.data.length / 2, `${label}: coarse_prompt`);
    if (fine_prompt.shape.length === 1)
      fine_prompt.shape = rows(fine_prompt, coarse_prompt.shape[1]!, `${label}: fine_prompt`);
    return new VoicePreset({ semantic_prompt, coarse_prompt, fine_prompt }, label);
  }

  /**
   * Writes a .npz file that numpy, suno's code and transformers read; '.npz' is added to a name
   * without it.
   */
  async save(path: string | URL): Promise<void> {
    checkPath('voice.save', path);
    const named = String(path).endsWith('.npz')
      ? path
      : typeof path === 'string'
        ? `${path}.npz`
        : new URL(`${path.href}.npz`);
    const array = (prompt: Prompt) => ({ data: this[prompt], shape: this.shapes[prompt] });
    const arrays = {
      semantic_prompt: array('semantic_prompt'),
      coarse_prompt: array('coarse_prompt'),
      fine_prompt: array('fine_prompt'),
    };
    await writeFile(named, await writeNpz(arrays));
  }

  /**
   * Checks the preset against a checkpoint by suno's rules: tokens within their vocabularies, the
   * right number of codebooks, and as many frames as the semantic tokens last. `lengths: false`
   * leaves out the last rule, which transformers does not have. Throws `WeightsError` that says
   * which rule is broken.
   */
  validate(generation: BarkGenerationConfig, { lengths = true }: { lengths?: boolean } = {}): void {
    checkVoice(this, generation, lengths);
  }
}

function repairRules({ repair = false, generation_config }: VoiceLoadOptions): BarkGenerationConfig | undefined {
  if (typeof repair !== 'boolean')
    throw new InputError(`VoicePreset.load: got ${shown(repair, 'setting')} for repair, expected true or false.`);
  return repair ? (generation_config ?? BarkGenerationConfig.fromJSON({})) : undefined;
}

/** What `VoicePreset.load` does for a path or URL; undefined where nothing is there. */
export async function findVoice(from: string | URL, options?: ReadVoice): Promise<VoicePreset | undefined> {
  const { folder, name, label } = split(from);
  const isName = !/^\.{0,2}$|[/\\\0]/.test(name);
  const source = isName ? await openModelSource(folder).catch(() => undefined) : undefined;
  if (!source) return undefined;
  const oneOfThree = /^(.*?)(?:semantic|coarse|fine)_prompt\.npy$/.exec(name);
  if (oneOfThree)
    return (await source.has(name)) ? readThreeArrays(source, threePaths(oneOfThree[1]!), label, options) : undefined;
  if (name.endsWith('.npy'))
    throw wrong(
      label,
      `the name ${name}`,
      'one that ends in semantic_prompt.npy, coarse_prompt.npy or fine_prompt.npy',
    );
  for (const file of name.endsWith('.npz') ? [name] : [`${name}.npz`, name]) {
    if (await source.has(file)) return readNpzVoice(source, file, label, options);
  }
  for (const prefix of [`${name}_`, `${name}/`]) {
    if (await source.has(threePaths(prefix).semantic_prompt))
      return readThreeArrays(source, threePaths(prefix), label, options);
  }
  return undefined;
}

/** Where the three arrays of a preset lie, relative to a folder. */
export type PromptPaths = Readonly<Record<Prompt, string>>;

/** Reads a preset of three .npy files. */
export async function readThreeArrays(
  source: ModelSource,
  paths: PromptPaths,
  label: string,
  options?: ReadVoice,
): Promise<VoicePreset> {
  const open = async (prompt: Prompt) =>
    parseNpy(
      await readBytes(source, paths[prompt], { ...options, limit: FILE_LIMIT }),
      `${source.label}/${paths[prompt]}`,
    );
  const [semantic_prompt, coarse_prompt, fine_prompt] = await Promise.all([
    open('semantic_prompt'),
    open('coarse_prompt'),
    open('fine_prompt'),
  ]);
  return presetOf({ semantic_prompt, coarse_prompt, fine_prompt }, label, options);
}

/** Reads a preset of one .npz file. */
export async function readNpzVoice(
  source: ModelSource,
  path: string,
  label: string,
  options?: ReadVoice,
): Promise<VoicePreset> {
  const bytes = await readBytes(source, path, { ...options, limit: FILE_LIMIT });
  return presetOf(await readVoiceArrays(bytes, label, FILE_LIMIT), label, options);
}

/** Checks nothing but dimensions, and mends where that is asked for. */
function presetOf(arrays: VoiceArrays, label: string, options: ReadVoice = {}): VoicePreset {
  const mended = options.repair && mendVoice(arrays, label, options.repair);
  if (mended) return new VoicePreset(mended.arrays, label, mended.how);
  for (const prompt of PROMPTS)
    if (!arrays[prompt])
      throw wrong(label, `no member ${prompt}.npy`, 'semantic_prompt, coarse_prompt and fine_prompt');
  return new VoicePreset(arrays as Record<Prompt, IntegerArray>, label);
}

/**
 * A shape without the leading ones that it has too many: tools that clone voices keep the batch of
 * one that a model gave them.
 */
function withoutBatch(shape: readonly number[], dimensions: number): number[] {
  const extra = Math.max(0, shape.length - dimensions);
  return shape.slice(shape.slice(0, extra).every((length) => length === 1) ? extra : 0);
}

function threePaths(prefix: string): Record<Prompt, string> {
  return {
    semantic_prompt: `${prefix}semantic_prompt.npy`,
    coarse_prompt: `${prefix}coarse_prompt.npy`,
    fine_prompt: `${prefix}fine_prompt.npy`,
  };
}

/** A path or URL as the folder it lies in and its name there. */
function split(from: string | URL): { folder: string | URL; name: string; label: string } {
  if (typeof from !== 'string' && !(from instanceof URL))
    throw new InputError(
      `Voice: got ${shown(from, 'setting')}, expected the path or URL of a .npz file, or a Blob of one. Arrays go to VoicePreset.from.`,
    );
  if (from instanceof URL || /^(https?|file):/i.test(from)) {
    if (!URL.canParse(from))
      throw new InputError(`Voice: got ${JSON.stringify(from)}, expected a URL of a .npz file. Check the spelling.`);
    const url = new URL(from);
    const slash = url.pathname.lastIndexOf('/');
    const folder = new URL(url);
    folder.pathname = url.pathname.slice(0, slash + 1);
    return {
      folder,
      name: decoded(url.pathname.slice(slash + 1)),
      label: url.origin === 'null' ? decoded(url.pathname) : url.origin + url.pathname,
    };
  }
  const slash = Math.max(from.lastIndexOf('/'), globalThis.process?.platform === 'win32' ? from.lastIndexOf('\\') : -1);
  // './' keeps a folder such as voices/en from being taken for a Hub id.
  const folder =
    slash < 0 ? './' : /^([/\\.]|[a-z]:)/i.test(from) ? from.slice(0, slash + 1) : `./${from.slice(0, slash + 1)}`;
  return { folder, name: from.slice(slash + 1), label: from };
}

/** A URL's path as text; as it is where that is not UTF-8. */
function decoded(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}
