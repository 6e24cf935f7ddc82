// What a text holds that Bark will not say as it was meant, in plain words: characters that the
// vocabulary lacks, what is behind the last token that is read, and signs of other programs (SSML,
// Markdown, stage directions), which Bark reads aloud or makes noise of.

import type { Token } from './token_spans.ts';

const NAMED_PIECES = 8;
const NAMED_LENGTH = 80; // characters

/** Those of suno's README, speakers last. */
const CUES = ['[laughter]', '[laughs]', '[sighs]', '[music]', '[gasps]', '[clears throat]', '[MAN]', '[WOMAN]'];

// Lengths are bounded so that no text takes longer than its length to look through.
const TAGS = [
  /<\/?[a-z][\w:-]{0,30}(?:\s{1,9}[\w:-]{1,30}\s?=\s?(?:"[^"]{0,200}"|'[^']{0,200}'|[^\s<>"'=]{1,200}))*\s{0,9}\/?>/giu,
  /<!--|<[!?][a-z]+|&(?:#\d{1,7}|#x[\da-f]{1,6}|[a-z]{2,8});/giu,
];

const BRACKETS = [/\[[^\][\n]{1,60}\](?!\()/gu];

const MARKDOWN = [
  /!?\[[^\][\n]{0,200}\]\([^()\n]{0,500}\)/gu, // links and pictures
  /^ {0,3}(?:#{1,6}|\*|>)[ \t][^\n]*\S[^\n]*/gmu, // headings, lists, quotations
  /^ {0,3}(?:`{3}|~{3})[^\n]*/gmu, // fences
  /^ {0,3}\|[^\n]*\|[ \t]*$/gmu, // tables
  /(?<![\p{L}\p{N}*_~\\])(\*{1,3}|_{1,3}|~~)(?=[^\s*_~])[^\n]{0,200}?[^\s\\]\1(?![\p{L}\p{N}*_~])/gu, // emphasis
  /(?<!`)`[^`\n]{1,200}`(?!`)/gu, // code
];

/** Of the text as it was given, with its lines and all its signs. */
export function markupWarnings(text: string): string[] {
  const warnings: string[] = [];
  const tags = found(text, TAGS);
  if (tags.length > 0)
    warnings.push(
      `${quote(tags)} ${verb(tags, 'looks', 'look')} like SSML or HTML, which Bark reads aloud or makes noise of. Leave tags out; "..." makes a pause.`,
    );
  const cues = found(text, BRACKETS).filter((cue) => !CUES.includes(cue));
  if (cues.length > 0) {
    const near = new Set(cues.flatMap((cue) => CUES.find((known) => start(known) === start(cue)) ?? []));
    warnings.push(
      `${quote(cues)} ${verb(cues, 'is no cue', 'are no cues')} that Bark was trained on, and will be read aloud or become noise. The cues are ${CUES.join(', ')}, and ♪ around lyrics; "..." makes a pause.${near.size > 0 ? ` Did you mean ${[...near].join(', ')}?` : ''}`,
    );
  }
  const marks = found(text, MARKDOWN);
  if (marks.length > 0)
    warnings.push(
      `${quote(marks)} ${verb(marks, 'looks', 'look')} like Markdown, whose signs Bark reads aloud or makes noise of. Pass plain text; CAPITALS stress a word.`,
    );
  const undecoded = found(text, [/\ufffd|\p{Cs}/gu]).length;
  if (undecoded > 0)
    warnings.push(
      `${undecoded} ${undecoded === 1 ? 'character' : 'characters'} (U+FFFD or half of a pair) could not be decoded before and ${undecoded === 1 ? 'is' : 'are'} left out. Read the text in the encoding that it has.`,
    );
  return warnings;
}

const start = (cue: string): string => cue.slice(0, 5).toLowerCase();

/** Of a text with unknown tokens; without `tokens` they cannot be named. */
export function unknownWarnings(text: string, tokens: readonly Token[] | undefined): string[] {
  if (!tokens)
    return ["words of it are not in the model's vocabulary and will be guessed or skipped. Write them in other signs."];
  const warnings: string[] = [];
  const unknown = tokens.filter(({ lacking }) => lacking !== undefined);
  const all = [...new Set(unknown.flatMap((token) => token.lacking!))];
  // A variation selector is not seen, and goes with the sign before it.
  const seen = all.filter((char) => !/\p{Default_Ignorable_Code_Point}/u.test(char));
  const lacking = seen.length > 0 ? seen : all;
  if (lacking.length > 0) {
    const codes = lacking.slice(0, NAMED_PIECES).map((char) => `U+${hex(char)}`);
    // One such character makes the whole word around it unknown.
    const words = unknown
      .map((token) => ({ word: text.slice(token.start, token.end), lost: token.lacking!.length }))
      .filter(({ word, lost }) => lost > 0 && lost < [...word].length)
      .map(({ word }) => word);
    warnings.push(
      `${quote(lacking)} ${verb(lacking, 'is', 'are')} not in the model's vocabulary (${codes.join(', ')})${words.length > 0 ? `, so ${quote(words)}` : ' and'} will be guessed or skipped. Write it in other signs, or leave it out.`,
    );
  }
  for (const { start: from, end } of unknown.filter((token) => token.lacking!.length === 0)) {
    const word = [...text.slice(from, end)];
    warnings.push(
      `${quote([word.join('')])} is ${word.length} characters without a space, more than the tokenizer takes as a word, and will be guessed or skipped. Put spaces into it.`,
    );
  }
  return warnings;
}

/** What of `text` is behind the first `limit` tokens; without `tokens` it cannot be quoted. */
export function lostWarning(text: string, count: number, limit: number, tokens: readonly Token[] | undefined): string {
  const percent = Math.max(1, Math.round((100 * (count - limit)) / count));
  const lost = tokens && `, from ${quote([text.slice(tokens[limit]!.start)])}`;
  return `${count} tokens, but the model reads ${limit}; the last ${percent} % is lost${lost ?? ''}. Split the text.`;
}

const found = (text: string, patterns: readonly RegExp[]): string[] =>
  patterns.flatMap((pattern) => text.match(pattern) ?? []);

const verb = (pieces: readonly string[], one: string, several: string): string =>
  new Set(pieces).size === 1 ? one : several;

const hex = (char: string): string => char.codePointAt(0)!.toString(16).toUpperCase().padStart(4, '0');

function quote(pieces: readonly string[]): string {
  const different = [...new Set(pieces)];
  const more = different.length - NAMED_PIECES;
  const named = different.slice(0, NAMED_PIECES).map((piece) => {
    const chars = [...piece];
    return JSON.stringify(chars.length > NAMED_LENGTH ? `${chars.slice(0, NAMED_LENGTH).join('')}…` : piece);
  });
  return named.join(', ') + (more > 0 ? ` and ${more} more` : '');
}
