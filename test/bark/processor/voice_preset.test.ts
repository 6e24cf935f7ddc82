// Voice presets: suno's real files, every way to name one, what is saved, and suno's rules, each
// broken in turn.
// Needs: no device.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { BarkGenerationConfig } from '../../../bark/config/generation_config.ts';
import { loadListedVoice, readVoiceList } from '../../../bark/processor/voice_list.ts';
import { VoicePreset } from '../../../bark/processor/voice_preset.ts';
import { InputError, WeightsError } from '../../../runtime/base/errors.ts';
import { writeNpy, writeNpz } from '../../../runtime/formats/npy.ts';
import { openModelSource } from '../../../runtime/sources/open_source.ts';
import { arrays, rejects } from './voices.ts';

const test = suite('voices');

const root = new URL('../../../', import.meta.url);

const shared = fileURLToPath(new URL('../shared/', root));

const suno = BarkGenerationConfig.fromJSON({});

const folder = mkdtempSync(join(tmpdir(), 'voices-'));

test.after(() => rmSync(folder, { recursive: true }));

// Facts of the real files: S and F, with the dtypes and orders that the files have.
const REAL: Record<string, [number, number]> = {
  announcer: [499, 750],
  en_speaker_6: [158, 237],
  'v2/de_speaker_0': [485, 728],
  'v2/en_speaker_0': [341, 512],
  'v2/en_speaker_6': [309, 464],
  'v2/en_speaker_9': [367, 551],
  'v2/fr_speaker_5': [553, 831],
  'v2/hi_speaker_1': [313, 470],
  'v2/ja_speaker_2': [291, 437],
  'v2/zh_speaker_4': [364, 547],
};

test('the real presets of suno', async () => {
  if (!existsSync(shared)) return console.log('skipped: ../shared is not here');
  for (const [name, [tokens, frames]] of Object.entries(REAL)) {
    const voice = await VoicePreset.load(join(shared, 'data/voices', `${name}.npz`));
    assert.equal(
      voice.shapes,
      { semantic_prompt: [tokens], coarse_prompt: [2, frames], fine_prompt: [8, frames] },
      name,
    );
    voice.validate(suno);
    // Coarse is stored in Fortran order, fine in C order; rows 0 and 1 are the same codes.
    assert.equal(voice.coarse_prompt, voice.fine_prompt.slice(0, 2 * frames), name);
  }
});

test('en_speaker_6, value by value', async () => {
  if (!existsSync(shared)) return console.log('skipped: ../shared is not here');
  const voice = await VoicePreset.load(join(shared, 'data/voices/en_speaker_6'));
  const golden = JSON.parse(readFileSync(join(shared, 'reference/bark-golden.json'), 'utf8')).preset_en_speaker_6_v1;
  assert.equal([...voice.semantic_prompt], golden.semantic_prompt);
  assert.equal([...voice.fine_prompt], golden.fine_prompt.flat());
});

test('one voice by every name: .npz, no ending, prefix, each of three, a folder, URL, Blob, http', async () => {
  const voice = VoicePreset.from(arrays());
  await voice.save(join(folder, 'one.npz'));
  await voice.save(join(folder, 'two')); // '.npz' is added
  await voice.save(pathToFileURL(join(folder, 'thrée.npz')));
  mkdirSync(join(folder, 'four'));
  for (const [prompt, array] of Object.entries(arrays())) {
    writeFileSync(join(folder, `ada_${prompt}.npy`), writeNpy(array));
    writeFileSync(join(folder, 'four', `${prompt}.npy`), writeNpy(array));
  }
  const server = createServer((request, response) => {
    const path = join(folder, decodeURIComponent(new URL(request.url!, 'http://x').pathname));
    if (!existsSync(path)) return response.writeHead(404).end();
    response.end(readFileSync(path));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const http = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  try {
    const names = [
      ...[
        'one.npz',
        'one',
        'two',
        'two.npz',
        'thrée',
        'ada',
        'ada_semantic_prompt.npy',
        'ada_coarse_prompt.npy',
        'ada_fine_prompt.npy',
        'four',
        'four/fine_prompt.npy',
      ].map((name) => join(folder, name)),
      pathToFileURL(join(folder, 'thrée.npz')),
      pathToFileURL(join(folder, 'ada')).href,
      new Blob([readFileSync(join(folder, 'one.npz'))]),
      `${http}/one.npz`,
      new URL(`${http}/thr%C3%A9e.npz`),
      `${http}/ada`,
    ];
    for (const name of names) {
      const loaded = await VoicePreset.load(name);
      assert.equal(loaded.shapes, voice.shapes, String(name));
      for (const prompt of ['semantic_prompt', 'coarse_prompt', 'fine_prompt'] as const)
        assert.equal(loaded[prompt], voice[prompt], String(name));
    }
    await rejects(VoicePreset.load(`${http}/none.npz`), WeightsError, /none\.npz: got no such voice/);
  } finally {
    server.closeAllConnections();
    server.close();
  }
});

test('a name without a folder is a file of the current one, not of the one above', async () => {
  await VoicePreset.from(arrays()).save(join(folder, 'here.npz'));
  const before = process.cwd();
  process.chdir(folder);
  try {
    for (const name of ['here.npz', 'here', './here.npz'])
      assert.equal((await VoicePreset.load(name)).semantic_prompt, VoicePreset.from(arrays()).semantic_prompt, name);
  } finally {
    process.chdir(before);
  }
});

test('what is not a voice', async () => {
  const at = (name: string) => join(folder, name);
  writeFileSync(at('text.npz'), 'hello');
  writeFileSync(at('part.npz'), await writeNpz({ semantic_prompt: { data: [1], shape: [1] } }));
  writeFileSync(
    at('flat.npz'),
    await writeNpz(Object.fromEntries(Object.keys(arrays()).map((name) => [name, { data: [1], shape: [1] }]))),
  );
  writeFileSync(at('lone_fine_prompt.npy'), writeNpy({ data: [1], shape: [1] }));
  await rejects(
    VoicePreset.load(at('none')),
    WeightsError,
    /none: got no such voice, expected a \.npz file or three \.npy files/,
  );
  await rejects(VoicePreset.load(at('nowhere/none.npz')), WeightsError, /got no such voice/);
  await rejects(VoicePreset.load(''), WeightsError, /got no such voice/);
  await rejects(VoicePreset.load(at('text.npz')), WeightsError, /text\.npz: got .*zip archive/);
  await rejects(VoicePreset.load(at('part.npz')), WeightsError, /part\.npz: got no member coarse_prompt\.npy/);
  await rejects(VoicePreset.load(at('flat.npz')), WeightsError, /coarse_prompt has shape \[1\], expected 2 dimension/);
  await rejects(
    VoicePreset.load(at('lone_fine_prompt.npy')),
    WeightsError,
    /no file "lone_(semantic|coarse)_prompt\.npy"/,
  );
  for (const path of ['.', '..', `${folder}/..`, 'a\0b'])
    await rejects(VoicePreset.load(path), WeightsError, /got no such voice, expected a \.npz file/);
  for (const url of ['http://', 'https://x y/z.npz'])
    await rejects(VoicePreset.load(url), InputError, /got "http.*", expected a URL/);
  for (const url of ['file:///%zz.npz', new URL('file:///a%2fb.npz')])
    await rejects(VoicePreset.load(url), WeightsError, /got no such voice/);
  await rejects(VoicePreset.load(at('ada.npy')), WeightsError, /expected one that ends in semantic_prompt\.npy/);
});

test('from arrays: flat, rows, with shapes, BigInt; copied, and checked', () => {
  const { semantic_prompt, coarse_prompt, fine_prompt } = arrays();
  const expected = VoicePreset.from({ semantic_prompt, coarse_prompt, fine_prompt });
  const rowsOf = ({ data, shape }: { data: Int32Array; shape: number[] }) =>
    Array.from({ length: shape[0]! }, (_, row) => [...data.slice(row * shape[1]!, (row + 1) * shape[1]!)]);
  const ways = [
    { semantic_prompt: semantic_prompt.data, coarse_prompt: coarse_prompt.data, fine_prompt: fine_prompt.data },
    {
      semantic_prompt: [...semantic_prompt.data],
      coarse_prompt: rowsOf(coarse_prompt),
      fine_prompt: rowsOf(fine_prompt),
    },
    {
      semantic_prompt: BigInt64Array.from(semantic_prompt.data, BigInt) as unknown as number[],
      coarse_prompt,
      fine_prompt,
    },
    {
      semantic_prompt: semantic_prompt.data,
      coarse_prompt: coarse_prompt.data,
      fine_prompt: fine_prompt.data,
      shapes: expected.shapes,
    },
  ];
  for (const way of ways) {
    const voice = VoicePreset.from(way);
    assert.equal(voice.shapes, expected.shapes);
    assert.equal(voice.semantic_prompt, expected.semantic_prompt);
    assert.equal(voice.fine_prompt, expected.fine_prompt);
  }
  assert.is(VoicePreset.from(expected), expected);
  const copied = VoicePreset.from({ semantic_prompt, coarse_prompt, fine_prompt });
  semantic_prompt.data[0] = 77;
  assert.is(copied.semantic_prompt[0], 0);

  const bad: [object, RegExp][] = [
    [{}, /got no semantic_prompt/],
    [{ semantic_prompt: [1.5], coarse_prompt, fine_prompt }, /semantic_prompt: got 1\.5, expected whole numbers/],
    [{ semantic_prompt: [2 ** 40], coarse_prompt, fine_prompt }, /got 1099511627776/],
    [{ semantic_prompt, coarse_prompt: [1, 2, 3], fine_prompt }, /coarse_prompt: got 3 values, expected whole rows/],
    [{ semantic_prompt, coarse_prompt: [[1, 2], [3]], fine_prompt }, /got rows of 2, 1 values/],
    [{ semantic_prompt, coarse_prompt: { data: [1, 2], shape: [2, 2] }, fine_prompt }, /got 2 values, expected 4/],
  ];
  for (const [way, message] of bad)
    assert.throws(
      () => VoicePreset.from(way as never),
      (error: Error) => error instanceof InputError && message.test(error.message),
      String(message),
    );
});

test("suno's rules, each broken in turn", () => {
  VoicePreset.from(arrays()).validate(suno);
  const broken: [string, (good: ReturnType<typeof arrays>) => void, RegExp][] = [
    ['empty', (voice) => (voice.semantic_prompt = { data: new Int32Array(), shape: [0] }), /empty semantic_prompt/],
    [
      'semantic id',
      (voice) => (voice.semantic_prompt.data[3] = 10_000),
      /semantic_prompt holds 10000, expected tokens from 0 to 9999/,
    ],
    ['negative id', (voice) => (voice.semantic_prompt.data[3] = -1), /holds -1/],
    [
      'coarse id',
      (voice) => (voice.coarse_prompt.data[5] = 1024),
      /coarse_prompt holds 1024, expected tokens from 0 to 1023/,
    ],
    ['fine id', (voice) => (voice.fine_prompt.data[200] = 5000), /fine_prompt holds 5000/],
    ['rows', (voice) => (voice.coarse_prompt.shape = [3, 20]), /coarse_prompt has 3 rows, expected 2/],
    ['fine rows', (voice) => (voice.fine_prompt.shape = [6, 40]), /fine_prompt has 6 rows, expected 8/],
    ['frames', (voice) => (voice.fine_prompt = arrays(20, 31).fine_prompt), /fine_prompt has 31 frames, expected 30/],
    [
      'ratio',
      (voice) => (voice.semantic_prompt = arrays(30).semantic_prompt),
      /got 30 frames for 30 semantic tokens, expected about 45: 1\.5/,
    ],
  ];
  for (const [name, spoil, message] of broken) {
    const voice = arrays();
    spoil(voice);
    assert.throws(
      () => VoicePreset.from(voice, 'ada.npz').validate(suno),
      (error: Error) =>
        error instanceof WeightsError && error.message.startsWith('ada.npz: ') && message.test(error.message),
      name,
    );
  }
  // What the pipeline itself generates is a voice, however short: S tokens make floor(S * 75 /
  // 49.9) frames.
  for (let tokens = 1; tokens < 800; tokens++) {
    const frames = Math.floor((tokens * 75) / 49.9);
    VoicePreset.from(arrays(tokens, frames)).validate(suno);
  }
});

test('the rules follow the checkpoint: the demo voice', async () => {
  const source = await openModelSource(new URL('bark/demo_voice/', root));
  const generation = BarkGenerationConfig.fromJSON(
    JSON.parse(readFileSync(new URL('bark/demo_voice/generation_config.json', root), 'utf8')),
  );
  const list = await readVoiceList(source);
  assert.equal([...list.keys()], ['demo/ada', 'demo/ada_2']);
  for (const name of list.keys()) {
    const voice = await loadListedVoice(source, list, name);
    voice.validate(generation);
    assert.is(voice.shapes.coarse_prompt[1], 2 * voice.shapes.semantic_prompt[0]); // 75 / 37.5 frames a token
  }
  assert.throws(() => VoicePreset.from(arrays()).validate(generation), /semantic_prompt holds/);
});

test.run();
