// Lists of voices in a model's folder: what they may name, when their files are read, and suno's
// folder of .npz.
// Needs: no device.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  findModelVoices,
  groupVoices,
  loadListedVoice,
  nearVoices,
  readVoiceList,
  voiceLanguage,
} from '../../../bark/processor/voice_list.ts';
import { VoicePreset } from '../../../bark/processor/voice_preset.ts';
import { WeightsError } from '../../../runtime/base/errors.ts';
import { writeNpy } from '../../../runtime/formats/npy.ts';
import { openModelSource } from '../../../runtime/sources/open_source.ts';
import type { ModelSource } from '../../../runtime/files/model_source.ts';
import { arrays, rejects } from './voices.ts';

const test = suite('voice_list');

const folder = mkdtempSync(join(tmpdir(), 'voices-'));

test.after(() => rmSync(folder, { recursive: true }));

/** A source that notes what is opened. */
function watched(source: ModelSource): ModelSource & { opened: string[] } {
  const opened: string[] = [];
  return { ...source, opened, open: (path, options) => (opened.push(path), source.open(path, options)) };
}

const blobs = (files: Record<string, string | Uint8Array<ArrayBuffer>>) =>
  openModelSource(new Map(Object.entries(files).map(([name, data]) => [name, new Blob([data])])));

const listOf = (path: string) =>
  JSON.stringify({
    repo_or_path: '/elsewhere',
    evil: { semantic_prompt: 'fine.npy', coarse_prompt: 'fine.npy', fine_prompt: path },
  });

test('a list that reaches out of its folder is refused before anything is opened, on every kind of source', async () => {
  const paths = [
    '../../etc/passwd',
    '/etc/passwd',
    'a/../../b.npy',
    'C:\\b.npy',
    'c:/b.npy',
    '..\\b.npy',
    '%2e%2e/%2e%2e/b.npy',
    '..%2fb.npy',
    '%2Fetc/passwd',
    'a%5c..%5cb.npy',
    'file:///etc/passwd',
    '',
    '.',
    'a\0b',
  ];
  const good = Object.fromEntries(
    Object.entries(arrays()).map(([prompt, array]) => [`${prompt}.npy`, writeNpy(array)]),
  );
  const inner = join(folder, 'evil');
  mkdirSync(inner);
  for (const name of ['fine.npy', '../b.npy']) writeFileSync(join(inner, name), good['fine_prompt.npy']!);
  let requests: string[] = [];
  const server = createServer((request, response) => {
    requests.push(request.url!);
    const path = join(inner, decodeURIComponent(request.url!));
    if (!existsSync(path)) return response.writeHead(404).end();
    response.end(readFileSync(path));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    for (const path of paths) {
      writeFileSync(join(inner, 'speaker_embeddings_path.json'), listOf(path));
      const careless: ModelSource = {
        ...(await blobs({ 'speaker_embeddings_path.json': listOf(path) })),
        label: 'one of the caller',
      };
      const sources = [
        await blobs({ 'speaker_embeddings_path.json': listOf(path), 'fine.npy': 'x' }),
        await openModelSource(inner),
        await openModelSource(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`),
        careless,
      ];
      for (const source of sources.map(watched)) {
        const list = await readVoiceList(source);
        requests = [];
        await rejects(loadListedVoice(source, list, 'evil'), WeightsError, /expected one inside the folder/);
        assert.equal(source.opened, ['speaker_embeddings_path.json'], `${source.label}: ${path}`);
        assert.equal(requests, []);
      }
    }
  } finally {
    server.closeAllConnections();
    server.close();
  }
});

test('a list that is damaged', async () => {
  const read = (json: string) => blobs({ 'speaker_embeddings_path.json': json }).then(readVoiceList);
  await rejects(
    read('{"x": {"semantic_prompt": "a", "coarse_prompt": "b"}}'),
    WeightsError,
    /x\.fine_prompt is missing/,
  );
  await rejects(read('{"x": 3}'), WeightsError, /x is 3, expected an object/);
  await rejects(read('['), WeightsError, /not JSON/);
  assert.is((await readVoiceList(await openModelSource(new Map()))).size, 0);
});

test('voices of a list are read when they are used, three files each, with signal and progress', async () => {
  const paths = (name: string) =>
    Object.fromEntries(Object.keys(arrays()).map((prompt) => [prompt, `speaker_embeddings/${name}_${prompt}.npy`]));
  const files = Object.fromEntries(
    Object.entries(arrays()).map(([prompt, array]) => [
      `speaker_embeddings/v2/en_speaker_6_${prompt}.npy`,
      writeNpy(array),
    ]),
  );
  const list = { repo_or_path: 'x', 'v2/en_speaker_6': paths('v2/en_speaker_6'), announcer: paths('announcer') };
  const inner = await blobs({
    ...files,
    'speaker_embeddings_path.json': JSON.stringify(list),
    'assets/prompts/speaker_0.npz': 'x',
  });
  const given: unknown[] = [];
  const source: ModelSource = {
    ...inner,
    open: (path, options) => (given.push([path, options]), inner.open(path, options)),
  };
  const voices = await findModelVoices(source);
  assert.equal(voices.names, ['v2/en_speaker_6', 'announcer']);
  assert.is(given.length, 1);
  const options = { signal: new AbortController().signal, onDownload: () => {} };
  const voice = await voices.open('v2/en_speaker_6', options);
  assert.equal(voice!.shapes.fine_prompt, [8, 30]);
  assert.is(given.length, 4);
  for (const [, opening] of given.slice(1) as [string, typeof options][])
    assert.is(opening.signal === options.signal && opening.onDownload === options.onDownload, true);
  for (const name of ['speaker_0', '__proto__', 'constructor', 'toString', 'repo_or_path', ''])
    assert.is(await voices.open(name), undefined, name);
  await rejects(voices.open('announcer'), WeightsError, /no file "speaker_embeddings\/announcer_/);
});

test("suno's folder of .npz, wherever it lies", async () => {
  await VoicePreset.from(arrays()).save(join(folder, 'suno.npz'));
  const npz = readFileSync(join(folder, 'suno.npz'));
  for (const at of ['assets/prompts', 'bark/assets/prompts', 'speaker_embeddings']) {
    const source = watched(
      await blobs(
        Object.fromEntries(
          ['announcer', 'speaker_3', 'v2/zh_speaker_4', 'mine/of-today'].map((name) => [`${at}/${name}.npz`, npz]),
        ),
      ),
    );
    const voices = await findModelVoices(source);
    assert.equal(source.opened, []);
    assert.is(voices.names.length, 271);
    for (const name of ['announcer', 'speaker_3', 'v2/zh_speaker_4', 'mine/of-today'])
      assert.is((await voices.open(name))!.label, name);
    assert.is(source.opened.length, 4);
    for (const name of [
      'speaker_4',
      '__proto__',
      '../announcer',
      '/announcer',
      'v2\\zh_speaker_4',
      'v2/../announcer',
      'announcer.npz',
      '%2e%2e/announcer',
      'a//b',
    ])
      assert.is(await voices.open(name), undefined, name);
  }
  assert.equal((await findModelVoices(await openModelSource(new Map()))).names, []);
});

test('names by language, and what a mistyped one may have meant', async () => {
  const names = [
    'announcer',
    'tr_speaker_1',
    'v2/de_speaker_10',
    'v2/de_speaker_9',
    'de_speaker_0',
    'v2/en_speaker_6',
    'en_speaker_6',
    'speaker_0',
    'demo/ada',
    'xx_speaker_1',
    '__proto__',
  ];
  assert.equal(groupVoices(names), [
    { language: 'English', names: ['v2/en_speaker_6', 'en_speaker_6'] },
    { language: 'German', names: ['v2/de_speaker_9', 'v2/de_speaker_10', 'de_speaker_0'] },
    { language: 'Turkish', names: ['tr_speaker_1'] },
    { language: 'Other', names: ['__proto__', 'announcer', 'demo/ada', 'speaker_0', 'xx_speaker_1'] },
  ]);
  assert.equal(['v2/hi_speaker_3', 'hi_speaker_3', 'announcer', 'speaker_3', 'constructor'].map(voiceLanguage), [
    'hi',
    'hi',
    null,
    null,
    null,
  ]);
  const all = (await findModelVoices(await blobs({ 'assets/prompts/announcer.npz': 'x' }))).names;
  assert.equal(
    groupVoices(all).map(({ names: { length } }) => length),
    [...Array(13).fill(20), 11],
  );
  for (const [typed, meant] of [
    ['v2/en_speakr_6', 'v2/en_speaker_6'],
    ['en-speaker-6', 'en_speaker_6'],
    ['V2/EN_SPEAKER_6', 'v2/en_speaker_6'],
    ['v2/en_speaker_6.npz', 'v2/en_speaker_6'],
    ['v2-en speaker 6', 'v2/en_speaker_6'],
    ['Anouncer', 'announcer'],
    ['v1/ja_speaker_2', 'v2/ja_speaker_2'],
  ] as const) {
    assert.is(nearVoices(typed, all)[0], meant, typed);
  }
  for (const typed of ['__proto__', 'x', 'x'.repeat(100_000)])
    assert.equal(nearVoices(typed, all), [], typed.slice(0, 20));
});

test.run();
