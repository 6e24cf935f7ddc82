// Text before the tokenizer: tidy white space, compose accents, and write typographic signs the way
// the vocabulary knows them.
// A sign that the vocabulary has is left alone; so is everything that only looks unusual (♪, emoji,
// other scripts).

const REPLACEMENTS: Readonly<Record<string, string>> = {
  ...signs('“”„‟〝〞〟″«»', '"'),
  ...signs('‘’‚‛′ʼ´`‹›', "'"),
  ...signs('—–―−‐‑‒⸺⸻', '-'),
  '…': '...',
  '‥': '..',
  '⋯': '...',
};

const SIGNS = new RegExp(`[${Object.keys(REPLACEMENTS).join('')}]`, 'gu');

/** `knows` says whether the vocabulary has a character. A sign stays as it is where neither it nor its replacement is known. */
export function normalizeText(text: string, knows: (character: string) => boolean): string {
  return text
    .normalize('NFC')
    .replace(SIGNS, (sign) => {
      const replacement = REPLACEMENTS[sign]!;
      return !knows(sign) && knows(replacement[0]!) ? replacement : sign;
    })
    .replace(/\s+/gu, ' ')
    .trim();
}

function signs(from: string, to: string): Record<string, string> {
  return Object.fromEntries([...from].map((sign) => [sign, to]));
}
