// Text and voice names → what the model reads: padded ids, their mask, and the voice's tokens.
// Knows no GPU.
// Text that is too long is cut as in the reference, but says so. Prints nothing: warnings travel
// with the result.
// Reference: HF processing_bark.py.
import { InputError, madeBy } from '../../runtime/base/errors.ts';
import { shown } from '../../runtime/base/messages.ts';
import { checkOptions, isPromise, wrongOption } from '../../runtime/base/options.ts';
import { readJson } from '../../runtime/files/read.ts';
import type { ModelSourceLike } from '../../runtime/sources/open_source.ts';
import { BarkGenerationConfig } from '../config/generation_config.ts';
import { openOptions, PRETRAINED_OPTIONS, resolveSource, type PretrainedOptions } from '../pretrained/pretrained.ts';
import { normalizeText } from './normalize_text.ts';
import { lostWarning, markupWarnings, unknownWarnings } from './text_warnings.ts';
import { findTokenizer, loadTokenizer, type BarkTokenizer } from './tokenizer.ts';
import { findModelVoices, nearVoices, type ModelVoices } from './voice_list.ts';
import { VoicePreset, findVoice, type VoicePresetLike } from './voice_preset.ts';
import { orAborted } from '../../runtime/base/abort.ts';
import type { DownloadProgress } from '../../runtime/files/model_source.ts';

/** What `BarkModel.generate` reads. */
export interface BarkInputs {
  /** Token ids [B, W], row-major, padded on the right. */
  inputIds: Int32Array<ArrayBuffer>;
  /** 1 where `inputIds` is text, 0 where it is padding [B, W]. */
  attentionMask: Int32Array<ArrayBuffer>;
  /** (B, W): B texts, W tokens a row. */
  shape: [number, number];
  /** One voice for all rows, or one for each (null for none). */
  historyPrompt?: VoicePreset | (VoicePreset | null)[];
  /** What was lost on the way, in plain words. */
  warnings: string[];
}

/** A name of `voices()`, a path, a URL, a .npz as a Blob, or the tokens themselves. */
export type Voice = string | URL | Blob | VoicePreset | VoicePresetLike;

export interface ProcessorOptions extends PretrainedOptions {
  /**
   * Where the tokenizer comes from, and voices where the model has none. Default: the model itself;
   * for suno's own .pt files, which come without, the Hub's suno/bark-small.
   */
  tokenizer?: ModelSourceLike | undefined;
  /** Called with each warning as it comes up; they are in `BarkInputs.warnings` as well. */
  onWarning?: (warning: string) => void;
}

export interface EncodeOptions {
  /** One voice for all texts, or a list with one for each (null for none). */
  voicePreset?: Voice | null | readonly (Voice | null)[] | undefined;
  /** Tokens of a row; by default what the model reads (256 in suno's). Longer text is cut. */
  maxLength?: number | undefined;
  /**
   * false passes the text to the tokenizer as it is. Default true: accents are composed, white
   * space is tidied, and typographic signs, full-width letters, ligatures and the like that the
   * vocabulary lacks become ones that it knows.
   */
  normalizeText?: boolean | undefined;
  /** Stops the download of a voice. */
  signal?: AbortSignal | undefined;
}

const DOOR = 'processor.encode';
const MOST_TOKENS = 2 ** 16; // of a row; far above what a model reads

/** transformers' processor takes the voice second; that and every unknown name is told here. */
function checkEncodeOptions(options: EncodeOptions): void {
  if (typeof options === 'string' || options instanceof VoicePreset)
    throw new InputError(
      `${DOOR}: got ${shown(options, 'setting')} for its options, expected an object. A voice is given as { voicePreset: … }.`,
    );
  checkOptions(DOOR, options, ['voicePreset', 'maxLength', 'normalizeText', 'signal']);
  const { maxLength } = options;
  if (maxLength !== undefined && !(Number.isInteger(maxLength) && maxLength >= 1 && maxLength <= MOST_TOKENS))
    throw wrongOption(DOOR, 'maxLength', maxLength, `a whole number from 1 to ${MOST_TOKENS}`);
}

export class BarkProcessor {
  readonly generation_config: BarkGenerationConfig;
  readonly #tokenizer: BarkTokenizer;
  readonly #voices: ModelVoices;
  readonly #onDownload: ((progress: DownloadProgress) => void) | undefined;
  readonly #onWarning: ((warning: string) => void) | undefined;
  readonly #loaded = new Map<string, Promise<VoicePreset | undefined>>();

  private constructor(
    parts: { tokenizer: BarkTokenizer; voices: ModelVoices; generation: BarkGenerationConfig } = madeBy(
      'BarkProcessor',
      'BarkProcessor.fromPretrained(source)',
    ),
    options: ProcessorOptions,
  ) {
    this.#tokenizer = parts.tokenizer;
    this.#voices = parts.voices;
    this.generation_config = parts.generation;
    this.#onDownload = openOptions(options).onDownload;
    this.#onWarning = options.onWarning;
  }

  /**
   * Opens the tokenizer and the list of voices of a model; without `source`, of the built-in demo
   * voice. No voice is read yet.
   * Throws `WeightsError` where a file is missing or damaged.
   */
  static async fromPretrained(source?: ModelSourceLike, options: ProcessorOptions = {}): Promise<BarkProcessor> {
    checkOptions('BarkProcessor.fromPretrained', options, ['tokenizer', 'onWarning', ...PRETRAINED_OPTIONS]);
    const opened = await resolveSource(source, options);
    const opening = openOptions(options);
    const settings = 'generation_config.json';
    const words = await findTokenizer(opened, options);
    const [tokenizer, own, json] = await Promise.all([
      loadTokenizer(words, opening),
      findModelVoices(opened, opening),
      opened.has(settings, opening).then((there) => (there ? readJson(opened, settings, opening) : {})),
    ]);
    const voices = own.names.length > 0 || words === opened ? own : await findModelVoices(words, opening);
    const generation = BarkGenerationConfig.fromJSON(json, `${opened.label}/${settings}`);
    return new BarkProcessor({ tokenizer, voices, generation }, options);
  }

  /** Names of the model's own voices. */
  voices(): string[] {
    return [...this.#voices.names];
  }

  /**
   * Tokens of one text or of a batch. Throws `InputError` for empty text, an unknown voice or a
   * list of voices of another length, `WeightsError` for a voice that this model cannot have made.
   */
  async encode(text: string | readonly string[], options: EncodeOptions = {}): Promise<BarkInputs> {
    checkEncodeOptions(options);
    const texts = typeof text === 'string' ? [text] : text;
    if (!Array.isArray(texts) || texts.length === 0)
      throw new InputError(
        `${DOOR}: got no text but ${shown(text, 'setting')}, expected a string or a list of them.${isPromise(text) ? ' Write await before it.' : ''}`,
      );
    const width = options.maxLength ?? this.generation_config.semantic_config.max_input_semantic_length;

    const warnings: string[] = [];
    const inputIds = new Int32Array(texts.length * width).fill(this.#tokenizer.padId);
    const attentionMask = new Int32Array(texts.length * width);
    Array.from(texts, (row: unknown, i) => {
      const name = texts.length === 1 ? 'Text' : `Text ${i + 1} of ${texts.length}`;
      const ids = this.#encodeRow(row, name, width, options.normalizeText ?? true, warnings);
      inputIds.set(ids, i * width);
      attentionMask.fill(1, i * width, i * width + ids.length);
    });
    const inputs: BarkInputs = { inputIds, attentionMask, shape: [texts.length, width], warnings };
    const historyPrompt = await this.#historyPrompt(options.voicePreset, texts.length, options.signal);
    if (historyPrompt) inputs.historyPrompt = historyPrompt;
    for (const voice of new Set([historyPrompt].flat())) warnings.push(...(voice?.warnings ?? []));
    for (const warning of warnings) this.#onWarning?.(warning);
    return inputs;
  }

  #encodeRow(given: unknown, name: string, width: number, normalize: boolean, warnings: string[]): number[] {
    if (typeof given !== 'string')
      throw new InputError(
        `${name}: got ${shown(given, 'setting')}, expected a string.${isPromise(given) ? ' Write await before it.' : ''}`,
      );
    const tokenizer = this.#tokenizer;
    const text = normalize ? normalizeText(given, tokenizer.knows, tokenizer.locate) : given;
    const ids = tokenizer.encode(text);
    if (ids.length === 0)
      throw new InputError(
        `${name}: got ${given === '' ? 'an empty text' : given.trim() === '' ? 'a text of white space' : 'a text without a character that is read'}, expected words to speak. Pass a sentence.`,
      );

    // The model reads no more than its own limit, however wide the row.
    const limit = Math.min(width, this.generation_config.semantic_config.max_input_semantic_length);
    const unknown = ids.includes(tokenizer.unknownId ?? -1);
    const tokens = unknown || ids.length > limit ? tokenizer.locate(text) : undefined;
    const found = markupWarnings(given);
    if (unknown) found.push(...unknownWarnings(text, tokens));
    if (ids.length > limit) found.push(lostWarning(text, ids.length, limit, tokens));
    warnings.push(...found.map((warning) => `${name}: ${warning}`));
    return ids.slice(0, width);
  }

  async #historyPrompt(
    voice: EncodeOptions['voicePreset'],
    rows: number,
    signal: AbortSignal | undefined,
  ): Promise<BarkInputs['historyPrompt']> {
    if (voice === undefined || voice === null) return undefined;
    if (!Array.isArray(voice)) return this.#voice(voice as Voice, signal);
    if (voice.length !== rows)
      throw new InputError(
        `BarkProcessor: got ${voice.length} voices for ${rows} texts, expected one for each (null for none).`,
      );
    return Promise.all(
      voice.map(async (one: Voice | null) => (one === null || one === undefined ? null : this.#voice(one, signal))),
    );
  }

  async #voice(voice: Voice, signal: AbortSignal | undefined): Promise<VoicePreset> {
    const preset = await this.#openVoice(voice, signal);
    preset.validate(this.generation_config);
    return preset;
  }

  async #openVoice(voice: Voice, signal: AbortSignal | undefined): Promise<VoicePreset> {
    if (voice instanceof URL || voice instanceof Blob) return VoicePreset.load(voice);
    if (typeof voice === 'object' && voice !== null) return VoicePreset.from(voice);
    if (typeof voice !== 'string' || voice === '')
      throw new InputError(
        `${DOOR}: got ${shown(voice, 'setting')} for voicePreset, expected a name, a path or a VoicePreset.`,
      );
    const own = await this.#ownVoice(voice, signal);
    if (own) return own;
    if (/\.np[yz]$|^(https?|file):/i.test(voice)) return VoicePreset.load(voice);
    const found = await findVoice(voice);
    if (!found) throw this.#unknownVoice(voice);
    return found;
  }

  async #ownVoice(name: string, signal: AbortSignal | undefined): Promise<VoicePreset | undefined> {
    for (let others = this.#loaded.get(name); others; others = this.#loaded.get(name)) {
      // Whoever began to load it may have been stopped, or have failed: that is not the end of this
      // one.
      const voice = await orAborted(
        others.catch(() => undefined),
        signal,
      );
      if (voice) return voice;
    }
    const loading = this.#voices.open(name, { signal, onDownload: this.#onDownload });
    this.#loaded.set(name, loading);
    // Neither a failure nor an absence is kept: the file may be there the next time.
    loading.then(
      (voice) => voice ?? this.#loaded.delete(name),
      () => this.#loaded.delete(name),
    );
    return loading;
  }

  #unknownVoice(name: string): InputError {
    const names = this.voices();
    const near = nearVoices(name, names);
    const some = near.length > 0 ? near : names.slice(0, 5);
    const hint =
      names.length === 0
        ? 'this model lists none of its own'
        : `${near.length > 0 ? 'near' : 'there are'}: ${some.join(', ')}`;
    return new InputError(
      `Voice ${JSON.stringify(name)}: got no such name and no such file, expected one of voices() (${hint}) or the path of a .npz. Choose another.`,
    );
  }
}
