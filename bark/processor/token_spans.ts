// Where each token stands in the text, and which characters the vocabulary lacks: warnings name
// and quote by it. `@huggingface/tokenizers` gives ids without places, so its own steps are taken
// one by one here and followed: a character of the text becomes none, one or several, and words
// are made of these in their order.

import type { Tokenizer } from '@huggingface/tokenizers';

/** A token, and the part of the text that it stands for: UTF-16 units from `start` to `end`. */
export interface Token {
  readonly id: number | undefined;
  readonly start: number;
  readonly end: number;
  /**
   * Only where a word has become the token for unknown ones: the characters of it that the
   * vocabulary lacks at their place. None where the word is longer than the tokenizer takes.
   */
  readonly lacking?: readonly string[];
}

/** What is to be known of a WordPiece tokenizer besides. */
export interface WordPiece {
  /** Before pieces that go on a word, '##'. */
  readonly prefix: string;
  /** The longest word, in characters, that is cut into pieces. */
  readonly longest: number;
  /** Puts spaces where the library itself should, and does not. */
  readonly spaced: (text: string) => string;
}

/**
 * Tokens of a text with their places. undefined where the tokenizer is of another kind than
 * BERT's and the steps cannot be followed: compare the ids with those of `encode`.
 */
export function locateTokens(tokenizer: Tokenizer, text: string, wordPiece: WordPiece): Token[] | undefined {
  const special = new Map([...tokenizer.get_added_tokens_decoder()].map(([id, { content }]) => [content, id]));
  const tokens: Token[] = [];
  let offset = 0;
  for (const section of sections(text, [...special.keys()])) {
    const found = special.has(section)
      ? [{ id: special.get(section), start: 0, end: section.length }]
      : sectionTokens(tokenizer, section, wordPiece);
    if (!found) return undefined;
    for (const token of found) tokens.push({ ...token, start: token.start + offset, end: token.end + offset });
    offset += section.length;
  }
  return tokens;
}

/** The text cut at the special tokens that are written out in it. */
function sections(text: string, special: readonly string[]): string[] {
  if (special.length === 0) return [text];
  const longestFirst = special.toSorted((a, b) => b.length - a.length);
  const pattern = longestFirst.map((content) => content.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')).join('|');
  return text.split(new RegExp(`(${pattern})`)).filter((part) => part !== '');
}

function sectionTokens(tokenizer: Tokenizer, section: string, wordPiece: WordPiece): Token[] | undefined {
  const { prefix, spaced } = wordPiece;
  const { normalizer, pre_tokenizer: splitter, model } = tokenizer;
  if (!normalizer || !splitter || !model) return undefined;
  // Each character that is left, and the place in the section of the one that it came from.
  const made: { char: string; start: number; end: number }[] = [];
  let start = 0;
  for (const char of section) {
    const end = start + char.length;
    for (const one of normalizer.normalize(char)) if (!/\s/u.test(one)) made.push({ char: one, start, end });
    start = end;
  }

  const words = splitter.pre_tokenize(normalizer.normalize(spaced(section)));
  if (words.join('').length !== made.reduce((length, { char }) => length + char.length, 0)) return undefined;
  const tokens: Token[] = [];
  let first = 0;
  for (const word of words) {
    const chars = [...word];
    const pieces = model._call([word]);
    const unknown = pieces.length === 1 && pieces[0] === model.unk_token;
    let from = first;
    for (const [i, piece] of pieces.entries()) {
      const length = unknown ? chars.length : [...piece].length - (i > 0 ? [...prefix].length : 0);
      const [head, tail] = [made[from], made[from + length - 1]];
      if (!head || !tail) return undefined;
      tokens.push({
        id: tokenizer.token_to_id(piece),
        start: head.start,
        end: tail.end,
        ...(unknown ? { lacking: lackingCharacters(tokenizer, chars, wordPiece) } : {}),
      });
      from += length;
    }
    first += chars.length;
  }
  return tokens;
}

/** As WordPiece reads a word, the longest known piece first, but going on behind what fails. */
function lackingCharacters(tokenizer: Tokenizer, chars: readonly string[], { prefix, longest }: WordPiece): string[] {
  if (chars.length > longest) return [];
  const lacking: string[] = [];
  const known = (from: number, to: number) =>
    tokenizer.token_to_id((from > 0 ? prefix : '') + chars.slice(from, to).join('')) !== undefined;
  for (let from = 0; from < chars.length;) {
    let to = chars.length;
    while (to > from && !known(from, to)) to--;
    if (to === from) lacking.push(chars[from]!);
    from = Math.max(to, from + 1);
  }
  return lacking;
}
