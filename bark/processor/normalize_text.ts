// Text before the tokenizer: tidy white space, compose accents, and write typographic signs, and
// letters in a strange form, the way the vocabulary knows them.
// What the vocabulary has is left alone, so that its tokens are those of the reference; so is
// everything that only looks unusual (♪, emoji, other scripts).

import type { Token } from './token_spans.ts';
import type { BarkTokenizer } from './tokenizer.ts';

const REPLACEMENTS: Readonly<Record<string, string>> = {
  ...signs('“”„‟〝〞〟″«»', '"'),
  ...signs('‘’‚‛′ʼ´`‹›', "'"),
  ...signs('—–―−‐‑‒⸺⸻', '-'),
  '…': '...',
  '‥': '..',
  '⋯': '...',
};

const SIGNS = new RegExp(`[${Object.keys(REPLACEMENTS).join('')}]`, 'gu');

/**
 * `knows` says whether the vocabulary has a character, `locate` gives the tokens of a text. A sign
 * stays as it is where neither it nor its replacement is known; so does a word, unless its
 * compatibility form (NFKC, NFKD) is known better. U+FEFF is no white space here: to the tokenizer
 * it is nothing at all.
 */
export function normalizeText(text: string, knows: BarkTokenizer['knows'], locate?: BarkTokenizer['locate']): string {
  const tidy = text
    .normalize('NFC')
    .replace(SIGNS, (sign) => {
      const replacement = REPLACEMENTS[sign]!;
      return !knows(sign) && knows(replacement[0]!) ? replacement : sign;
    })
    .replace(/[^\S\ufeff]+/gu, ' ')
    .trim();
  return locate ? foldUnknown(tidy, locate) : tidy;
}

/**
 * Full-width, mathematical and other forms of letters, ligatures, units: in unknown words only. A
 * letter that is known without its accent alone (Ỳ) is taken apart again.
 */
function foldUnknown(text: string, locate: BarkTokenizer['locate']): string {
  if (text === text.normalize('NFKD')) return text;
  const parts: string[] = [];
  let done = 0;
  for (const token of locate(text) ?? []) {
    if (!token.lacking?.length) continue;
    const word = text.slice(token.start, token.end);
    const forms = [word, word.normalize('NFKC'), word.normalize('NFKD')];
    const lacked = forms.map((form, i) => (i === 0 ? lacks([token]) : lacks(locate(form))));
    const form = forms[lacked.indexOf(Math.min(...lacked))]!;
    parts.push(text.slice(done, token.start), form);
    done = token.end;
  }
  return parts.join('') + text.slice(done);
}

/** How many characters, or words that are too long, the vocabulary lacks. */
const lacks = (tokens: readonly Token[] | undefined): number =>
  tokens?.reduce((sum, { lacking }) => sum + (lacking ? Math.max(1, lacking.length) : 0), 0) ?? Infinity;

function signs(from: string, to: string): Record<string, string> {
  return Object.fromEntries([...from].map((sign) => [sign, to]));
}
