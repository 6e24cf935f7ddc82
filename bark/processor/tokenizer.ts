// Text → ids: the WordPiece tokenizer of bert-base-multilingual-cased, or whatever tokenizer.json
// says.
// The algorithm is `@huggingface/tokenizers`; this file finds the files, and makes the
// tokenizer.json that a bare vocab.txt implies.
// No [CLS] and [SEP] are added, nothing is padded and nothing is cut: that is the processor's work.
// Reference: HF BertTokenizer (the fast one); tests compare its ids with those of the Rust
// tokenizers.

import { Tokenizer } from '@huggingface/tokenizers';
import { WeightsError } from '../../runtime/base/errors.ts';
import { openHub } from '../../runtime/sources/hub/hub.ts';
import { boolean, isNull, jsonObject, optionalObjectAt, text, type JsonObject } from '../../runtime/base/json.ts';
import { modelInside, otherEngine } from '../../runtime/formats/other_models.ts';
import { readJson, readText, whyMissing } from '../../runtime/files/read.ts';
import { openModelSource, type ModelSourceLike } from '../../runtime/sources/open_source.ts';
import { openOptions, otherHub, type PretrainedOptions } from '../pretrained/pretrained.ts';
import { findSunoFiles } from '../pretrained/suno.ts';
import type { ModelSource, OpenOptions } from '../../runtime/files/model_source.ts';
import { locateTokens, type Token } from './token_spans.ts';

export interface BarkTokenizer {
  /**
   * Ids of a text, without special tokens of the tokenizer's own; a literal "[MASK]" in the text is
   * the special token.
   */
  encode(text: string): number[];
  /** The same tokens with their places in the text; undefined where these cannot be known. */
  locate(text: string): Token[] | undefined;
  /** True where the vocabulary has this character as a token of its own. */
  knows(character: string): boolean;
  readonly padId: number;
  /** undefined where the tokenizer has no token for unknown words. */
  readonly unknownId: number | undefined;
}

const SPECIAL_TOKENS = {
  unk_token: '[UNK]',
  sep_token: '[SEP]',
  pad_token: '[PAD]',
  cls_token: '[CLS]',
  mask_token: '[MASK]',
} as const;
type SpecialToken = keyof typeof SPECIAL_TOKENS;

// Han characters above U+FFFF, each a word of its own: `@huggingface/tokenizers` sees only the ones
// below. The gap before U+2B920 is the reference's own (it means U+2B820).
const ASTRAL_HAN =
  /[\u{20000}-\u{2a6df}\u{2a700}-\u{2b73f}\u{2b740}-\u{2b81f}\u{2b920}-\u{2ceaf}\u{2f800}-\u{2fa1f}]/gu;

const TOKENIZER_REPOSITORY = 'suno/bark-small';

/**
 * The place of a model's tokenizer: where the caller says, else the model itself, else, for suno's
 * .pt files, which come without one, the Hub. Throws `WeightsError` where that is not to be had.
 */
export async function findTokenizer(
  source: ModelSource,
  options: PretrainedOptions & { tokenizer?: ModelSourceLike | undefined },
): Promise<ModelSource> {
  const { tokenizer } = options;
  if (tokenizer !== undefined) return openModelSource(tokenizer, otherHub(options));
  const opening = openOptions(options);
  if ((await hasTokenizer(source, opening)) || !(await findSunoFiles(source, opening))) return source;
  try {
    const hub = await openHub(TOKENIZER_REPOSITORY, otherHub(options));
    if (!(await hasTokenizer(hub, opening)))
      throw new WeightsError(`${hub.label}: got no tokenizer.json and no vocab.txt.`);
    return hub;
  } catch (cause) {
    options.signal?.throwIfAborted();
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new WeightsError(
      `${source.label}: got no tokenizer, expected tokenizer.json or vocab.txt beside the models, or ${TOKENIZER_REPOSITORY} from the Hub (${why}) Name a folder that has one as the tokenizer (--tokenizer).`,
      { cause },
    );
  }
}

const hasTokenizer = async (source: ModelSource, options: OpenOptions): Promise<boolean> =>
  (await source.has('tokenizer.json', options)) || source.has('vocab.txt', options);

/**
 * Reads tokenizer.json, or else vocab.txt, of a model's folder. Throws `WeightsError` where there
 * is neither.
 */
export async function loadTokenizer(source: ModelSource, options?: OpenOptions): Promise<BarkTokenizer> {
  const settings = jsonObject(
    await optionalJson(source, 'tokenizer_config.json', options),
    `${source.label}/tokenizer_config.json`,
  );
  const specials = jsonObject(
    await optionalJson(source, 'special_tokens_map.json', options),
    `${source.label}/special_tokens_map.json`,
  );
  const names = Object.fromEntries(
    Object.entries(SPECIAL_TOKENS).map(([key, usual]) => [
      key,
      specialToken(settings, key) ?? specialToken(specials, key) ?? usual,
    ]),
  ) as Record<SpecialToken, string>;

  if (await source.has('tokenizer.json', options)) {
    const label = `${source.label}/tokenizer.json`;
    return fromTokenizerJson(jsonObject(await readJson(source, 'tokenizer.json', options), label), settings, names);
  }
  if (!(await source.has('vocab.txt', options))) {
    const other = (await otherEngine(source, options)) ?? (await modelInside(source, ['tokenizer.json', 'vocab.txt']));
    const none = new WeightsError(
      `${source.label}: got ${other?.got ?? 'no tokenizer.json and no vocab.txt'}, expected ${other ? 'tokenizer.json or vocab.txt' : 'one of them'}. ${other?.advice ?? 'Is the folder complete?'}`,
    );
    throw await whyMissing(source, 'tokenizer.json', none, options);
  }
  const label = `${source.label}/vocab.txt`;
  const json = tokenizerJson(await readText(source, 'vocab.txt', options), label, settings, names);
  return fromTokenizerJson(jsonObject(json, label), settings, names);
}

async function optionalJson(source: ModelSource, path: string, options?: OpenOptions): Promise<unknown> {
  return (await source.has(path, options)) ? readJson(source, path, options) : {};
}

// Old files say "[PAD]", newer ones { content: "[PAD]", … }.
function specialToken(from: JsonObject, key: string): string | undefined {
  const value = from.values[key];
  if (value === undefined || value === null) return undefined;
  return typeof value === 'object' ? text(jsonObject(value, from.label, key), 'content') : text(from, key);
}

function fromTokenizerJson(json: JsonObject, settings: JsonObject, names: Record<SpecialToken, string>): BarkTokenizer {
  // The library checks little of a tokenizer.json, some of it only when it first meets what is
  // wrong.
  const orRefuse = <T>(use: () => T): T => {
    try {
      return use();
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new WeightsError(
        `${json.label}: got a tokenizer that cannot be read (${reason.slice(0, 200)}), expected that of BERT. Fetch the file again.`,
        { cause },
      );
    }
  };
  const tokenizer = orRefuse(() => new Tokenizer(json.values, settings.values));
  const padId = tokenizer.token_to_id(names.pad_token);
  if (padId === undefined)
    throw new WeightsError(
      `${json.label}: got no token ${names.pad_token}, expected one to pad with. Fetch the file again.`,
    );
  const normalizer = optionalObjectAt(json, 'normalizer').values;
  const splitsHan = normalizer.type === 'BertNormalizer' && normalizer.handle_chinese_chars !== false;
  const spaced = (text: string) => (splitsHan ? text.replace(ASTRAL_HAN, ' $& ') : text);
  const { continuing_subword_prefix: prefix, max_input_chars_per_word: longest = 100 } = optionalObjectAt(
    json,
    'model',
  ).values;
  const encode = (text: string): number[] => {
    const { ids } = orRefuse(() => tokenizer.encode(spaced(text), { add_special_tokens: false }));
    if (!ids.every((id: number) => Number.isSafeInteger(id) && id >= 0))
      throw new WeightsError(
        `${json.label}: got tokens without an id, expected a whole number for each. Fetch the file again.`,
      );
    return ids;
  };
  return {
    encode,
    locate(text) {
      if (typeof prefix !== 'string' || typeof longest !== 'number') return undefined;
      const tokens = orRefuse(() => locateTokens(tokenizer, text, { prefix, longest, spaced }));
      const ids = encode(text);
      return tokens?.length === ids.length && tokens.every(({ id }, i) => id === ids[i]) ? tokens : undefined;
    },
    knows: (character) => tokenizer.token_to_id(character) !== undefined,
    padId,
    unknownId: tokenizer.token_to_id(names.unk_token),
  };
}

/** The tokenizer.json of a BERT whose vocabulary has one token a line. */
function tokenizerJson(
  vocabulary: string,
  label: string,
  settings: JsonObject,
  names: Record<SpecialToken, string>,
): object {
  const lines = vocabulary.split(/\r\n|\n|\r/);
  if (lines.at(-1) === '') lines.pop();
  const vocab = Object.fromEntries(lines.map((token, id) => [token, id]));
  if (!Object.hasOwn(vocab, names.unk_token)) {
    throw new WeightsError(
      `${label}: got ${lines.length} lines without ${names.unk_token}, expected a WordPiece vocabulary, one token a line. Fetch the file again.`,
    );
  }
  const added = Object.values(names).filter((content) => Object.hasOwn(vocab, content));
  return {
    added_tokens: added.map((content) => ({
      id: vocab[content],
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: true,
    })),
    normalizer: {
      type: 'BertNormalizer',
      clean_text: true,
      handle_chinese_chars: boolean(settings, 'tokenize_chinese_chars', { default: true }),
      strip_accents:
        isNull(settings, 'strip_accents') || !Object.hasOwn(settings.values, 'strip_accents')
          ? null
          : boolean(settings, 'strip_accents'),
      lowercase: boolean(settings, 'do_lower_case', { default: false }),
    },
    pre_tokenizer: { type: 'BertPreTokenizer' },
    model: {
      type: 'WordPiece',
      unk_token: names.unk_token,
      continuing_subword_prefix: '##',
      max_input_chars_per_word: 100,
      vocab,
    },
    post_processor: null,
    decoder: { type: 'WordPiece', prefix: '##', cleanup: true },
  };
}
