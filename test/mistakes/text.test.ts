// Mistakes in the text to speak: bytes that are no text, at the command; and in the library
// characters, marks and lengths that Bark cannot say.
// Needs: no device.

import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { decodeText, readText } from '../../bark/command/read_text.ts';
import { BarkProcessor } from '../../bark/processor/processor.ts';
import { loadTokenizer } from '../../bark/processor/tokenizer.ts';
import { openModelSource } from '../../runtime/sources/open_source.ts';
import { expectError } from '../bark/command/run_command.ts';
import { leavesNothing } from './calls.ts';
import { testMistakes, type Mistake } from './table.ts';
import { testWarnings } from './warnings.ts';

const test = suite('mistakes in text');
const bytes = (text: string, encoding: BufferEncoding = 'latin1') => Buffer.from(text, encoding);
const signal = new AbortController().signal;
const folder = mkdtempSync(join(tmpdir(), 'bark-text-'));
const LITTLE = '\u00ff\u00fe';

const stdin = (mistake: string, given: Uint8Array, says: RegExp): Mistake => ({
  door: 'bark, standard input',
  mistake,
  make: () => decodeText(given),
  says,
  code: 'ERR_USAGE',
});

const file = (mistake: string, given: Uint8Array, says: RegExp, name = 'story.txt'): Mistake => ({
  door: 'bark --file',
  mistake,
  make: () => {
    writeFileSync(join(folder, name), given);
    return readText([], join(folder, name), signal);
  },
  says,
  code: 'ERR_USAGE',
});

const ROWS = testMistakes(test, [
  stdin(
    'Latin-1',
    bytes('caf\u00e9'),
    /^standard input: got the byte 0xE9 at offset 3, line 1 \(after "caf"\), which is no UTF-8, expected text in UTF-8.*… \| iconv -f WINDOWS-1252 -t UTF-8 \| bark$/,
  ),
  stdin('Latin-1 at the beginning', bytes('\u00e9t\u00e9'), /0xE9 at offset 0, line 1, which is no UTF-8/),
  stdin(
    'Latin-1 in a later line',
    bytes('one\ntwo\r\ncaf\u00e9 au lait\n'),
    /0xE9 at offset 12, line 3 \(after "caf"\)/,
  ),
  stdin('a Windows quotation mark', bytes('say \u0093hello\u0094'), /0x93 at offset 4, line 1 \(after "say "\)/),
  stdin('behind longer characters', Buffer.concat([bytes('日本🙂', 'utf8'), bytes('\u00ff')]), /0xFF at offset 10/),
  stdin('behind a mark', bytes('\u00ef\u00bb\u00bfcaf\u00e9'), /0xE9 at offset 6, line 1 \(after "caf"\)/),
  stdin('behind a genuine U+FFFD', bytes('\u00ef\u00bf\u00bda\u00e9 '), /0xE9 at offset 4/),
  stdin('UTF-8 that is cut', bytes('日本', 'utf8').subarray(0, 5), /0xE6 at offset 3, line 1 \(after "日"\)/),
  stdin('a cut U+FFFD', bytes('a\u00ef\u00bf'), /0xEF at offset 1/),
  stdin('a zero in two bytes', bytes('a\u00c0\u0080'), /0xC0 at offset 1/),
  stdin('a surrogate in UTF-8', bytes('a\u00ed\u00a0\u0080'), /0xED at offset 1/),
  stdin('Shift-JIS', bytes('\u0093\u00fa\u0096\u007b'), /0x93 at offset 0.*from the encoding that it has/),
  stdin(
    'UTF-16 without a mark',
    bytes('hello', 'utf16le'),
    /the byte 0x00 at offset 1, line 1 \(after "h"\), which is in no text.*iconv -f UTF-16LE -t UTF-8/,
  ),
  stdin('UTF-16BE without a mark', bytes('hello', 'utf16le').swap16(), /0x00 at offset 0, .*iconv -f UTF-16BE/),
  stdin('UTF-32', bytes(`${LITTLE}\0\0h\0\0\0`), /got text in UTF-32, expected .*iconv -f UTF-32/),
  stdin('a binary file', bytes('ID3\u0004\0\0'), /0x00 at offset 4/),
  stdin(
    'UTF-16, half a pair',
    bytes(`${LITTLE}a\0\u003d\u00d8b\0`),
    /0x3D at offset 4, line 1.*whole character of UTF-16LE/,
  ),
  stdin(
    'UTF-16, half a unit',
    bytes(`${LITTLE}a\0\n\0b`),
    /0x62 at offset 6, line 2, .*UTF-16LE.*Save it again as UTF-8/,
  ),
  stdin('UTF-16BE, half a unit', bytes('\u00fe\u00ff\0ab'), /0x62 at offset 4, line 1.*UTF-16BE/),
  file('Latin-1', bytes('caf\u00e9'), /story\.txt: got the byte 0xE9 at offset 3.*-t UTF-8 \S+story\.txt \| bark$/),
  file('a name with a space', bytes('caf\u00e9'), /-t UTF-8 "[^"]*my story\.txt" \| bark$/, 'my story.txt'),
  file('nothing but a mark', bytes('\u00ef\u00bb\u00bf'), /got an empty text, expected words/),
  {
    door: 'bark, argument',
    mistake: 'bytes that are no UTF-8',
    make: () => readText(['a', 'caf\ufffd'], undefined, signal),
    says: /got "caf\ufffd", where U\+FFFD stands for bytes that are no UTF-8, expected text in UTF-8/,
    code: 'ERR_USAGE',
  },
  {
    door: 'processor.encode',
    mistake: 'text of nothing that is read',
    make: async () => (await BarkProcessor.fromPretrained()).encode('\ufffd'),
    says: /got a text without a character that is read/,
  },
]);

test('the command ends with 2 on bytes that are no text', async () => {
  const text = bytes('caf\u00e9');
  await expectError([], 2, /standard input: got the byte 0xE9 at offset 3/, { stdin: text });
  await expectError(['--file', '-'], 2, /standard input: got the byte 0xE9/, { stdin: text });
});

test('UTF-16 with a mark, UTF-8 with and without one: the same text', async () => {
  const text = 'naïve 日本 🙂 \ufffd\r\nnext';
  const little = bytes(`\ufeff${text}`, 'utf16le');
  const all = [bytes(text, 'utf8'), bytes(`\ufeff${text}`, 'utf8'), little, Buffer.from(little).swap16()];
  for (const given of all) assert.is(decodeText(given), text);
  writeFileSync(join(folder, 'utf16.txt'), little);
  assert.is(await readText([], join(folder, 'utf16.txt'), signal), text);
});

const demo = await BarkProcessor.fromPretrained();
const CUES = /\[laughter\], \[laughs\], \[sighs\], \[music\], \[gasps\], \[clears throat\], .*♪/;

testWarnings(test, async (text) => (await demo.encode(text)).warnings, [
  {
    mistake: 'SSML',
    text: 'one<break time="1s"/>two',
    says: /^Text: "<break time=\\"1s\\"\/>" looks like SSML or HTML/,
  },
  { mistake: 'SSML around', text: '<speak>hello</speak>', says: /"<speak>", "<\/speak>" look like SSML/ },
  { mistake: 'SSML, many', text: '<prosody rate="slow" pitch=\'+2st\'>a</prosody>', says: /"<prosody rate=/ },
  { mistake: 'HTML', text: 'a<br>b &amp; c', says: /"<br>", "&amp;" look like SSML or HTML/ },
  { mistake: 'a comment', text: 'a <!-- b --> c', says: /"<!--" looks like/ },
  { mistake: 'a pause', text: 'wait [pause] now', says: /"\[pause\]" is no cue that Bark was trained on/ },
  { mistake: 'a pause, what there is', text: 'wait [pause] now', says: CUES, never: /Did you mean/ },
  { mistake: 'cues', text: '[sings] a [cheering] b', says: /"\[sings\]", "\[cheering\]" are no cues/ },
  { mistake: 'a cue, nearly', text: 'a [Laughing] b', says: /"\[Laughing\]" is no cue.*Did you mean \[laughter\]\?/ },
  { mistake: 'a cue in the singular', text: 'a [sigh] b', says: /Did you mean \[sighs\]\?/ },
  { mistake: 'cues that it knows', text: '[laughs] [MAN] [clears throat]', says: /"\[", "\]" are/, never: /no cue/ },
  { mistake: 'bold', text: 'so **very** good', says: /"\*\*very\*\*" looks like Markdown/ },
  { mistake: 'emphasis', text: 'so *very* _good_', says: /"\*very\*", "_good_" look like Markdown/ },
  { mistake: 'a heading', text: 'one\n## Title\ntwo', says: /"## Title" looks like Markdown/ },
  { mistake: 'a list', text: '* one\n* two', says: /"\* one", "\* two" look like Markdown/ },
  {
    mistake: 'a link',
    text: 'see [here](https://x.org)',
    says: /"\[here\]\(https:.* looks like Markdown/,
    never: /cue/,
  },
  { mistake: 'code', text: 'run `ls` now', says: /"`ls`" looks like Markdown/ },
  { mistake: 'sums and names are no marks', text: '2 * 3 * 4, 2*3*4, a * b, # 7, a & b; c' },
  { mistake: 'undecoded', text: 'caf\ufffd and \ud83d', says: /^Text: 2 characters \(U\+FFFD.*could not be decoded/ },
  {
    mistake: 'unknown',
    text: 'hi 🙂',
    says: /^Text: "🙂" is not in the model's vocabulary \(U\+1F642\) and will be guessed/,
  },
  { mistake: 'unknown, in a word', text: 'ok hi🙂yo ok', says: /"🙂" is not .*, so "hi🙂yo" will be guessed/ },
  { mistake: 'unknown, with a selector', text: 'a ❤\ufe0f b', says: /"❤" is not .* \(U\+2764\)/ },
  { mistake: 'a word of 130', text: 'ab'.repeat(65), says: /is 130 characters without a space.*Put spaces into it/ },
  { mistake: 'cut in a word', text: `${'a '.repeat(70)}kmpkmp`, says: /76 tokens.*, from "pkmp"/ },
  { mistake: 'full-width letters are folded', text: 'Ｈｅｌｌｏ，　ｙｏｕ！' },
  { mistake: 'ligatures and mathematical letters are folded', text: 'ﬁne 𝐛𝐨𝐥𝐝 𝒶𝓃𝒹 ⓒⓐⓢⓔ' },
]);

const vocabulary = new URL('../../../shared/data/vocab.txt', import.meta.url);
if (existsSync(vocabulary)) {
  const source = await openModelSource(new Map([['vocab.txt', new Blob([readFileSync(vocabulary)])]]));
  const real = await BarkProcessor.fromPretrained(source);
  const japanese = Array.from({ length: 40 }, (_, i) => `今日は${i}日、天気がいいですね。`).join('');
  const warningsOf = async (text: string) => (await real.encode(text)).warnings;

  testWarnings(test, warningsOf, [
    { mistake: 'Chinese with an emoji', text: '你好🙂世界。', says: /"🙂" is not/, never: /你|世/ },
    { mistake: 'kana with an emoji', text: '今日はとても🙂です。', says: /"🙂" is not .*, so "はとても🙂です" will/ },
    { mistake: 'a rare Han character', text: '我吃𰻝𰻝面', says: /"𰻝" is not in/, never: /我|面/ },
    { mistake: 'Thai without spaces', text: 'ภาษาไทย'.repeat(30), says: /is 210 characters without a space/ },
    { mistake: 'known forms stay', text: 'x² ½ ① ™ １２３ ♪ [laughs]' },
    { mistake: 'comparisons and names are no marks', text: 'a < b, c > d, a<b, snake_case_name' },
    { mistake: 'units are folded', text: '5㎏ ｶﾀｶﾅ' },
    { mistake: 'folded as far as it goes', text: 'Ｈｉ🙂', says: /"🙂" is not/, never: /Ｈ/ },
  ]);

  test('what is quoted as lost is what is behind the last token that is read', async () => {
    const tokenizer = await loadTokenizer(source);
    for (const text of [
      japanese,
      '你好🙂世界。'.repeat(60),
      'unbelievable, '.repeat(90),
      'x [MASK] Ｈｅｌｌｏ '.repeat(120),
    ]) {
      const [warning] = (await warningsOf(text)).filter((one) => one.includes('is lost'));
      const [, lost] = /, from "(.*)…"/.exec(warning!)!;
      const { inputIds } = await real.encode(text);
      const normal = text.replaceAll('Ｈｅｌｌｏ', 'Hello').trim();
      const places = [...normal.matchAll(new RegExp(`(?=${lost!.replace(/[[\]]/g, '\\$&')})`, 'gu'))].map(
        ({ index }) => index,
      );
      // At one of the places where the quotation stands, exactly 256 tokens stand before it.
      const before = places.map((place) => tokenizer.encode(normal.slice(0, place)));
      assert.ok(
        before.some((ids) => ids.length === 256 && ids.every((id, i) => id === inputIds[i])),
        warning,
      );
    }
  });

  test('places of tokens: the ids of encode, in order, and each tail by itself gives the rest', async () => {
    const lowering = new Map<string, Blob>([
      ['vocab.txt', new Blob([readFileSync(vocabulary)])],
      ['tokenizer_config.json', new Blob([JSON.stringify({ do_lower_case: true })])],
    ]);
    const texts = [
      japanese,
      'naïve\u0301 Çá\u00ad\u200bva?\tÉté 𠀀𰻝 [MASK][SEP]x ΣΑΣ İstanbul',
      '추석은 내가',
      'a\u0301\u0323b',
    ];
    for (const tokenizer of [await loadTokenizer(source), await loadTokenizer(await openModelSource(lowering))])
      for (const text of texts) {
        const [tokens, ids] = [tokenizer.locate(text), tokenizer.encode(text)];
        assert.equal(
          tokens?.map(({ id }) => id),
          ids,
          text,
        );
        tokens!.forEach(({ start, end }, i) => {
          assert.ok(end > start && start >= (tokens![i - 1]?.end ?? 0) - 1, `${text}: token ${i}`);
          if (start > 0 && /[\s。、]/.test(text[start - 1]!))
            assert.equal(tokenizer.encode(text.slice(start)), ids.slice(i), text.slice(start));
        });
      }
  });

  test('what normalizeText leaves alone has the tokens of the text as it is', async () => {
    for (const text of ['x² ½ ① ™ １２３ Ａ', 'a\ufeffb', '你好，世界。', 'mixed 日本 ♪ İ ß ŉ', 'Y\u0300 hat'])
      assert.equal(
        (await real.encode(text)).inputIds,
        (await real.encode(text, { normalizeText: false })).inputIds,
        text,
      );
    assert.equal((await real.encode('ﬁnal Ｈｅｌｌｏ ㎏')).inputIds, (await real.encode('final Hello kg')).inputIds);
  });
} else console.log('skipped in part: the real vocabulary is not here');

test.after(() => rmSync(folder, { recursive: true }));

test('200 refused calls of each kind leave nothing open', () => leavesNothing(ROWS));

test.run();
