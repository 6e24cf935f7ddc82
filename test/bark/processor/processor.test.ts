// Text to ids: the golden vectors of the real vocabulary, from tokenizer.json and from vocab.txt
// alone; padding, warnings, voices.
// Needs: no device.

import { suite } from 'uvu';
import { rejects } from './voices.ts';
import * as assert from 'uvu/assert';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BarkProcessor } from '../../../bark/processor/processor.ts';
import { normalizeText } from '../../../bark/processor/normalize_text.ts';
import { loadTokenizer } from '../../../bark/processor/tokenizer.ts';
import { VoicePreset } from '../../../bark/processor/voice_preset.ts';
import { InputError, WeightsError } from '../../../runtime/base/errors.ts';
import { openModelSource } from '../../../runtime/sources/open_source.ts';
import type { ModelSource } from '../../../runtime/files/model_source.ts';

const test = suite('processor');
const shared = new URL('../../../../shared/', import.meta.url);
const demoFolder = new URL('../../../bark/demo_voice/', import.meta.url);

/**
 * A model's folder with the real vocabulary and nothing else: suno's constants are the defaults.
 */
const realVocabulary = () =>
  openModelSource(new Map([['vocab.txt', new Blob([readFileSync(new URL('data/vocab.txt', shared))])]]));

/** Ids from transformers 5.23 on these files. */
const DEMO_IDS: [string, number[]][] = [
  [
    'The quick brown fox jumps over the lazy dog!',
    [
      150, 75, 159, 79, 182, 46, 88, 189, 84, 50, 85, 94, 54, 91, 83, 86, 89, 59, 92, 205, 149, 75, 56, 71, 96, 95, 48,
      85, 77, 5,
    ],
  ],
];

test('the golden ids of the real vocabulary', async () => {
  if (!existsSync(shared)) return console.log('skipped: ../shared is not here');
  const tokenizer = await loadTokenizer(await realVocabulary());
  const golden: { text: string; ids: number[] }[] = JSON.parse(
    readFileSync(new URL('reference/bark-golden.json', shared), 'utf8'),
  ).tokenizer;
  assert.ok(golden.length > 30);
  for (const { text, ids } of golden) assert.equal(tokenizer.encode(text), ids, text);
  assert.is(tokenizer.padId, 0);
  assert.is(tokenizer.unknownId, 100);
});

test('tokenizer.json and vocab.txt give the same ids', async () => {
  const source = await openModelSource(demoFolder);
  const withoutJson = { ...source, has: async (path: string) => path !== 'tokenizer.json' && source.has(path) };
  for (const tokenizer of [await loadTokenizer(source), await loadTokenizer(withoutJson)]) {
    for (const [text, ids] of DEMO_IDS) assert.equal(tokenizer.encode(text), ids);
    assert.equal(tokenizer.encode('[MASK] [PAD][UNK]'), [4, 0, 1]);
  }
});

test('vocab.txt: Windows line ends, lower-casing as tokenizer_config.json says', async () => {
  const files = (config: object) =>
    new Map([
      ['vocab.txt', new Blob(['[PAD]\r\n[UNK]\r\nhello\r\n##s\r\ncafe\r\ncaf\u00e9\r\n'])],
      ['tokenizer_config.json', new Blob([JSON.stringify(config)])],
    ]);
  const cased = await loadTokenizer(await openModelSource(files({ unk_token: { content: '[UNK]' } })));
  assert.equal(cased.encode('hellos Hello caf\u00e9'), [2, 3, 1, 5]);
  const uncased = await loadTokenizer(await openModelSource(files({ do_lower_case: true, strip_accents: null })));
  assert.equal(uncased.encode('Hellos CAF\u00c9'), [2, 3, 4]);
});

test('a folder without a tokenizer, and damaged ones', async () => {
  const load = async (files: Record<string, string>) =>
    loadTokenizer(
      await openModelSource(new Map(Object.entries(files).map(([name, text]) => [name, new Blob([text])]))),
    );
  await rejects(load({}), WeightsError, /no tokenizer\.json and no vocab\.txt/);
  await rejects(load({ 'vocab.txt': '<html>' }), WeightsError, /vocab\.txt: got a web page, expected text/);
  await rejects(load({ 'tokenizer.json': '{}' }), WeightsError, /tokenizer\.json: got a tokenizer that cannot be read/);
  await rejects(load({ 'tokenizer.json': '{' }), WeightsError, /tokenizer\.json: got text that is not JSON/);
});

test('a row is padded to what the model reads, and masked', async () => {
  const demo = await BarkProcessor.fromPretrained();
  const [text, ids] = DEMO_IDS[0]!;
  const one = await demo.encode(text);
  assert.equal(one.shape, [1, 72]);
  assert.equal([...one.inputIds], [...ids, ...Array(72 - ids.length).fill(0)]);
  assert.equal([...one.attentionMask], [...Array(ids.length).fill(1), ...Array(72 - ids.length).fill(0)]);
  assert.is(one.historyPrompt, undefined);
  assert.equal(one.warnings, []);

  const two = await demo.encode([text, 'a'], { maxLength: 40 });
  assert.equal(two.shape, [2, 40]);
  assert.equal([...two.attentionMask.slice(40, 43)], [1, 0, 0]);
  if (!existsSync(shared)) return console.log('skipped in part: ../shared is not here');
  const real = await BarkProcessor.fromPretrained(await realVocabulary());
  const hello = await real.encode('Hello, my dog is cute');
  assert.equal(hello.shape, [1, 256]);
  assert.equal([...hello.inputIds.slice(0, 8)], [31178, 117, 15127, 17835, 10124, 21610, 10112, 0]);
  assert.equal(real.voices(), []);
});

test('typographic signs become what the vocabulary knows, and only those', async () => {
  const ascii = (character: string) => character < '\u0080';
  const cases: [string, string][] = [
    ['\u201cOh\u201d \u2014 it\u2019s\u2026', '"Oh" - it\'s...'],
    ['\u00abA\u00bb \u201eb\u201f \u2039c\u203a', '"A" "b" \'c\''],
    ['  a\u00a0b\t\nc\u2003 ', 'a b c'],
    ['\u266a cafe\u0301 \u{1f642} \u60a8\u597d\u3002', '\u266a caf\u00e9 \u{1f642} \u60a8\u597d\u3002'],
  ];
  for (const [text, expected] of cases) assert.is(normalizeText(text, ascii), expected);
  assert.is(
    normalizeText('\u201ca\u201d \u2014 b\u2026', () => true),
    '\u201ca\u201d \u2014 b\u2026',
    'known signs stay',
  );
  assert.is(
    normalizeText('a \u2014 b', () => false),
    'a \u2014 b',
    'no sign to write it with',
  );

  if (!existsSync(shared)) return console.log('skipped in part: ../shared is not here');
  const real = await BarkProcessor.fromPretrained(await realVocabulary());
  const plain = await real.encode('"Well" - it\'s...');
  const curly = await real.encode('\u201cWell\u201d \u2014 it\u2019s\u2026');
  assert.equal(curly.inputIds, plain.inputIds);
  assert.equal(curly.warnings, []);
  const asIs = await real.encode('Well \u2014 it', { normalizeText: false });
  assert.ok([...asIs.inputIds].includes(100));
  assert.match(asIs.warnings.join(), /"\u2014" is not in the model's vocabulary/);
});

test('text that is too long is cut, and what is lost is said', async () => {
  const heard: string[] = [];
  const demo = await BarkProcessor.fromPretrained(undefined, { onWarning: (warning) => heard.push(warning) });
  const long = await demo.encode(`${'a '.repeat(70)}b c d e f g h i`);
  assert.equal(long.warnings, [
    'Text: 78 tokens, but the model reads 72; the last 8 % is lost, from "d e f g h i". Split the text.',
  ]);
  assert.equal(heard, long.warnings);
  assert.is(
    long.attentionMask.reduce((sum, one) => sum + one, 0),
    72,
  );
  const wide = await demo.encode('a '.repeat(80), { maxLength: 100 });
  assert.is(
    wide.attentionMask.reduce((sum, one) => sum + one, 0),
    80,
    'a wider row keeps its tokens',
  );
  assert.match(wide.warnings.join(), /80 tokens, but the model reads 72/);
  const second = await demo.encode(['a', 'b', 'x '.repeat(73)]);
  assert.match(second.warnings.join(), /^Text 3 of 3: 73 tokens/);
});

test('no text at all', async () => {
  const demo = await BarkProcessor.fromPretrained();
  await rejects(demo.encode(''), InputError, /^Text: got an empty text, expected words to speak/);
  await rejects(demo.encode(['a', ' \n\u00a0 ']), InputError, /^Text 2 of 2: got a text of white space/);
  await rejects(demo.encode('\u200b', { normalizeText: false }), InputError, /expected words/);
  await rejects(demo.encode([]), InputError, /got no text/);
  await rejects(demo.encode(7 as never), InputError, /got no text/);
  await rejects(demo.encode(['a', null] as never), InputError, /Text 2 of 2: got null, expected a string/);
  for (const maxLength of [0, -1, 1.5, NaN]) await rejects(demo.encode('a', { maxLength }), InputError, /maxLength/);
});

test('voices: by name, by path, given; one for all or one for each', async () => {
  const demo = await BarkProcessor.fromPretrained();
  assert.equal(demo.voices(), ['demo/ada', 'demo/ada_2']);
  const folder = mkdtempSync(join(tmpdir(), 'processor-'));
  try {
    const ada = (await demo.encode('a', { voicePreset: 'demo/ada' })).historyPrompt;
    assert.instance(ada, VoicePreset);
    const path = join(folder, 'mine.npz');
    await (ada as VoicePreset).save(path);
    const arrays = {
      semantic_prompt: (ada as VoicePreset).semantic_prompt,
      coarse_prompt: (ada as VoicePreset).coarse_prompt,
      fine_prompt: (ada as VoicePreset).fine_prompt,
    };
    for (const voicePreset of [path, path.slice(0, -4), ada as VoicePreset, arrays]) {
      const { historyPrompt } = await demo.encode('a', { voicePreset });
      assert.equal((historyPrompt as VoicePreset).fine_prompt, (ada as VoicePreset).fine_prompt);
    }
    const { historyPrompt } = await demo.encode(['a', 'b', 'c'], { voicePreset: ['demo/ada_2', null, path] });
    assert.is((historyPrompt as unknown[]).length, 3);
    assert.is((historyPrompt as unknown[])[1], null);
    await rejects(demo.encode(['a', 'b'], { voicePreset: ['demo/ada'] }), InputError, /got 1 voices for 2 texts/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('two wait for one voice, and the one who asked first is stopped: the other gets it', async () => {
  const source = await openModelSource(demoFolder);
  let begin = (): void => {};
  const begun = new Promise<void>((resolve) => (begin = resolve));
  const slow: ModelSource = {
    ...source,
    open(path, options) {
      if (!path.endsWith('.npy') || !options?.signal) return source.open(path, options);
      begin();
      return new Promise((_, reject) =>
        options.signal!.addEventListener('abort', () => reject(options.signal!.reason)),
      );
    },
  };
  const processor = await BarkProcessor.fromPretrained(slow);
  const stop = new AbortController();
  const first = processor
    .encode('a', { voicePreset: 'demo/ada', signal: stop.signal })
    .catch((error: Error) => error.name);
  await begun;
  const second = processor.encode('a', { voicePreset: 'demo/ada' });
  stop.abort();
  assert.is(await first, 'AbortError');
  assert.is(((await second).historyPrompt as VoicePreset).label, 'demo/ada');
});

test('an unknown voice suggests near ones; one of another model is refused', async () => {
  const demo = await BarkProcessor.fromPretrained();
  await rejects(
    demo.encode('a', { voicePreset: 'demo/adda' }),
    InputError,
    /"demo\/adda": got no such name and no such file, .*near: demo\/ada/,
  );
  await rejects(demo.encode('a', { voicePreset: '' }), InputError, /expected a name/);
  await rejects(demo.encode('a', { voicePreset: '../../nowhere/x.npz' }), WeightsError, /got no such voice/);
  await rejects(demo.encode('a', { voicePreset: {} as never }), InputError, /no semantic_prompt/);
  const foreign = {
    semantic_prompt: Array(10).fill(9000),
    coarse_prompt: Array(30).fill(5),
    fine_prompt: Array(120).fill(5),
  };
  await rejects(
    demo.encode('a', { voicePreset: foreign }),
    WeightsError,
    /semantic_prompt holds 9000, expected tokens from 0 to 431/,
  );
});

const demoFile = (name: string) => new Blob([readFileSync(new URL(name, demoFolder))]);

test('a tokenizer from elsewhere, and its voices where the model has none', async () => {
  const bare = new Map(['config.json', 'generation_config.json'].map((name) => [name, demoFile(name)]));
  await rejects(BarkProcessor.fromPretrained(bare), WeightsError, /no tokenizer\.json and no vocab\.txt/);
  const processor = await BarkProcessor.fromPretrained(bare, { tokenizer: demoFolder });
  assert.equal(processor.voices(), ['demo/ada', 'demo/ada_2']);
  const [text, ids] = DEMO_IDS[0]!;
  const inputs = await processor.encode(text, { voicePreset: 'demo/ada' });
  assert.equal([...inputs.inputIds.slice(0, ids.length)], ids);
  assert.is((inputs.historyPrompt as VoicePreset).label, 'demo/ada');
  const own = await BarkProcessor.fromPretrained(
    new Map([
      ...bare,
      [
        'speaker_embeddings_path.json',
        new Blob(['{"mine": {"semantic_prompt": "a.npy", "coarse_prompt": "b.npy", "fine_prompt": "c.npy"}}']),
      ],
    ]),
    { tokenizer: demoFolder },
  );
  assert.equal(own.voices(), ['mine']);
});

test("suno's .pt files without a tokenizer: the Hub is asked, and where it is not to be had the error says what to name", async () => {
  const triple = new Map(['text_2.pt', 'coarse.pt', 'fine_2.pt'].map((name) => [name, new Blob(['x'])]));
  const cacheDir = mkdtempSync(join(tmpdir(), 'processor-'));
  try {
    await rejects(
      BarkProcessor.fromPretrained(triple, { localFilesOnly: true, cacheDir, revision: 'v2' }),
      WeightsError,
      /^files: got no tokenizer, expected .*suno\/bark-small from the Hub \(suno\/bark-small: got no copy.*\(--tokenizer\)\.$/,
    );
    const named = await BarkProcessor.fromPretrained(triple, { localFilesOnly: true, cacheDir, tokenizer: demoFolder });
    assert.equal(named.voices(), ['demo/ada', 'demo/ada_2']);
  } finally {
    rmSync(cacheDir, { recursive: true });
  }
});

test('names that are like names, and names of objects', async () => {
  const demo = await BarkProcessor.fromPretrained();
  await rejects(demo.encode('a', { voicePreset: 'DEMO/ADA' }), InputError, /near: demo\/ada, demo\/ada_2\)/);
  await rejects(demo.encode('a', { voicePreset: 'demo-ada' }), InputError, /near: demo\/ada/);
  for (const name of ['__proto__', 'constructor', 'hasOwnProperty', 'repo_or_path'])
    await rejects(demo.encode('a', { voicePreset: name }), InputError, /got no such name and no such file/);
});

test.run();
