// Voices that are none, and voices that are nearly right, as tools that clone voices write them:
// each says what is off, and `repair` mends what can be mended and says how.
// Needs: no device.

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { zipSync } from 'fflate';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { say } from '../../bark/command/say.ts';
import { BarkGenerationConfig } from '../../bark/config/generation_config.ts';
import { BarkProcessor } from '../../bark/processor/processor.ts';
import { VoicePreset, type VoicePresetLike } from '../../bark/processor/voice_preset.ts';
import { writeNpy, writeNpz } from '../../runtime/formats/npy.ts';
import { temporaryFolder } from '../bark/models.ts';
import { arrays } from '../bark/processor/voices.ts';
import { leavesNothing } from './calls.ts';
import { testMistakes, type Mistake } from './table.ts';

const test = suite('mistakes: voices');
const suno = BarkGenerationConfig.fromJSON({});
type Arrays = Record<string, { data: ArrayLike<number>; shape: number[] }>;

const S = 200;
const F = 300;
const good = (): ReturnType<typeof arrays> => arrays(S, F);
const folder = temporaryFolder();
let files = 0;

async function written(voice: Arrays): Promise<string> {
  const path = join(folder, `${files++}.npz`);
  writeFileSync(path, await writeNpz(voice));
  return path;
}
const blob = (bytes: Uint8Array | string) => new Blob([bytes as Uint8Array<ArrayBuffer>]);
const transposed = ({ data, shape: [rows, columns] }: Arrays[string]) => ({
  data: Array.from({ length: data.length }, (_, i) => data[(i % rows!) * columns! + Math.floor(i / rows!)]!),
  shape: [columns!, rows!],
});
/** The rows of a table without its last `frames` columns. */
const cut = ({ data, shape: [rows, columns] }: Arrays[string], frames: number) => {
  const kept = columns! - frames;
  return {
    data: Array.from({ length: rows! * kept }, (_, i) => data[Math.floor(i / kept) * columns! + (i % kept)]!),
    shape: [rows!, kept],
  };
};
const mapped = ({ data, shape }: Arrays[string], map: (value: number, i: number) => number) => ({
  data: Array.from(data, map),
  shape,
});

/** Loads as a user does, and checks by suno's rules as `encode` does. */
const use = async (voice: Arrays, repair = false) => {
  const preset = await VoicePreset.load(await written(voice), { repair });
  preset.validate(suno);
  return preset;
};

// What a voice is spoilt by, what it says then, and what `repair` says; false: it cannot be mended.
const nearly: [string, Arrays, RegExp, RegExp | false][] = [
  ['fine codes a frame short of coarse', { ...good(), fine_prompt: cut(good().fine_prompt, 1) }, /fine_prompt has 299 frames, expected 300 as in coarse_prompt\. To mend it: VoicePreset\.load\(file, \{ repair: true \}\), or --repair-voice/, /mended: cut 1 frame from the end of coarse_prompt, to the 299 of fine_prompt/],
  ['coarse codes three frames short of fine', { ...good(), coarse_prompt: cut(good().coarse_prompt, 3) }, /fine_prompt has 300 frames, expected 297/, /cut 3 frames from the end of fine_prompt, to the 297/],
  ['coarse transposed', { ...good(), coarse_prompt: transposed(good().coarse_prompt) }, /coarse_prompt has shape \[300, 2\], expected \[2, 300\]: it is transposed/, /transposed coarse_prompt, which had shape \[300, 2\]/],
  ['fine transposed', { ...good(), fine_prompt: transposed(good().fine_prompt) }, /fine_prompt has shape \[300, 8\], expected \[8, 300\]: it is transposed/, /transposed fine_prompt, which had shape \[300, 8\]/],
  ['semantic tokens padded with the end token', { ...good(), semantic_prompt: mapped(good().semantic_prompt, (token, i) => (i < 198 ? token : 10_000)) }, /semantic_prompt holds 10000, expected tokens from 0 to 9999; 2 of 200 are outside, the first at 198\. .*--repair-voice/, /cut 2 semantic tokens outside 0 to 9999 from the end/],
  ['a semantic token out of range', { ...good(), semantic_prompt: mapped(good().semantic_prompt, (token, i) => (i === 7 ? 10_003 : token)) }, /holds 10003.*1 of 200 are outside, the first at 7/, /put the token before in place of 1 semantic token outside 0 to 9999/],
  ['semantic tokens of another vocabulary', { ...good(), semantic_prompt: mapped(good().semantic_prompt, (token) => token + 10_048) }, /semantic_prompt holds 10048/, false],
  ['semantic tokens as a column', { ...good(), semantic_prompt: { ...good().semantic_prompt, shape: [S, 1] } }, /semantic_prompt has shape \[200, 1\], expected 1 dimension/, /made one row of semantic_prompt, which had shape \[200, 1\]/],
  ['too many semantic tokens', { ...arrays(S + 20, F), coarse_prompt: good().coarse_prompt, fine_prompt: good().fine_prompt }, /got 300 frames for 220 semantic tokens, expected about 331: 1\.5/, /cut 20 semantic tokens from the end, to the 200 that 300 frames last/],
  ['too few semantic tokens', { ...good(), semantic_prompt: arrays(S - 20, F).semantic_prompt }, /got 300 frames for 180 semantic tokens, expected about 271/, /cut 30 frames from the end, to the 270 that 180 semantic tokens last/],
  ['semantic tokens of another rate', { ...good(), semantic_prompt: arrays(80, F).semantic_prompt }, /got 300 frames for 80 semantic tokens, expected about 120/, false],
  ['coarse codes with the offset of their codebook', { ...good(), coarse_prompt: mapped(good().coarse_prompt, (code, i) => code + 1024 * Number(i >= F)) }, /coarse_prompt holds 1\d\d\d, expected tokens from 0 to 1023; \d+ of 600/, /made the codes of coarse_prompt begin at 0, not at 0 and 1024/],
  ['coarse codes as ids of the coarse model', { ...good(), coarse_prompt: mapped(good().coarse_prompt, (code, i) => 10_000 + code + 1024 * Number(i >= F)) }, /coarse_prompt holds 10000/, /begin at 0, not at 10000 and 11024/],
  ['interleaved coarse ids', { ...good(), coarse_prompt: { data: transposed(good().coarse_prompt).data.map((code, i) => 10_000 + code + 1024 * (i % 2)), shape: [2 * F] } }, /coarse_prompt has shape \[600\], expected 2 dimension/, /made 2 rows of coarse_prompt, which was one of interleaved ids/],
  ['coarse codes that are no codes', { ...good(), coarse_prompt: mapped(good().coarse_prompt, () => -1) }, /coarse_prompt holds -1/, /took coarse_prompt, which held other codes, from the first 2 rows of fine_prompt/],
  ['no coarse codes', { semantic_prompt: good().semantic_prompt, fine_prompt: good().fine_prompt }, /got no member coarse_prompt\.npy/, /took coarse_prompt, which was missing, from/],
  ['fine codes as coarse codes', { ...good(), coarse_prompt: good().fine_prompt }, /coarse_prompt has 8 rows, expected 2/, /took the first 2 of the 8 rows of coarse_prompt/],
  ['the 32 codebooks of 24 kbit/s', { ...good(), fine_prompt: { data: [0, 1, 2, 3].flatMap(() => [...good().fine_prompt.data]), shape: [32, F] } }, /fine_prompt has 32 rows, expected 8/, /took the first 8 of the 32 rows of fine_prompt/],
  ['fine codes padded with the mask', { ...good(), fine_prompt: mapped(good().fine_prompt, (code, i) => (i % F < 298 ? code : 1024)) }, /fine_prompt holds 1024, expected tokens from 0 to 1023; 16 of 2400 are outside, the first at 298/, /cut 2 frames with codes outside 0 to 1023 from the end of fine_prompt/],
  ['six fine codebooks', { ...good(), fine_prompt: { data: good().fine_prompt.data.slice(0, 6 * F), shape: [6, F] } }, /fine_prompt has 6 rows, expected 8/, false],
  ['coarse of half the sound', { ...good(), coarse_prompt: cut(good().coarse_prompt, 200) }, /fine_prompt has 300 frames, expected 100/, false],
]; // prettier-ignore

testMistakes(
  test,
  nearly.map(([mistake, voice, says]): Mistake => ({
    door: 'VoicePreset.load',
    mistake,
    make: () => use(voice),
    says,
    code: 'ERR_WEIGHTS',
  })),
);

for (const [mistake, voice, , mends] of nearly) {
  if (mends === false) continue;
  test(`repair | ${mistake}`, async () => {
    const mended = await use(voice, true);
    assert.match(mended.warnings.join('\n'), mends);
    for (const warning of mended.warnings) assert.match(warning, /^.*\.npz: [^\n]+\.$/);
    // What came back is the voice, all of it or its beginning.
    const [tokens, [, frames]] = [mended.semantic_prompt, mended.shapes.fine_prompt];
    assert.equal([...mended.coarse_prompt], [...mended.fine_prompt.slice(0, 2 * frames)]);
    assert.equal([...mended.fine_prompt], cut(good().fine_prompt, F - frames).data);
    const expected = arrays(S + 20, F).semantic_prompt.data;
    assert.ok(tokens.every((token, i) => token === expected[i] || /put the token before/.test(mended.warnings.join())));
    assert.ok(frames > 260 && tokens.length >= 180);
  });
}

const ROWS = testMistakes(test, [
  ...nearly
    .filter(([, , , mends]) => mends === false)
    .map(([mistake, voice]): Mistake => ({
      door: 'VoicePreset.load(…, { repair: true })',
      mistake,
      make: () => use(voice, true),
      says: /got .*, expected .*This cannot be mended: make the voice again\./,
      code: 'ERR_WEIGHTS',
    })),
  ...(
    [
      ['a zip around the .npz', async () => zipSync({ 'me.npz': await writeNpz(good()), '__MACOSX/._me.npz': new Uint8Array(3) }), /got a zip archive around "me\.npz", expected a \.npz with semantic_prompt.* Unpack it/],
      ['a zip around the three .npy', () => zipSync({ 'ada/ada_semantic_prompt.npy': writeNpy(good().semantic_prompt) }), /got a zip archive around the \.npy files of a voice.*Unpack it/],
      ['other names in the .npz', () => writeNpz({ arr_0: good().semantic_prompt, arr_1: good().coarse_prompt }), /got an archive of "arr_0\.npy", "arr_1\.npy".*np\.savez\(file, semantic_prompt=/],
      ['a recording', () => 'RIFF\x24\0\0\0WAVEfmt ', /got a sound file.*A voice is tokens, not sound/],
      ['one .npy', () => writeNpy(good().semantic_prompt), /got a NumPy array.*prefix that the three \.npy/],
      ['a file of PyTorch', () => new Uint8Array(readFileSync(new URL('../fixtures/torch/small-zip-3.pt', import.meta.url))), /got a file of PyTorch.*np\.savez/],
      ['a Git LFS pointer', () => 'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n', /got a Git LFS pointer.*git lfs pull/],
      ['a web page', () => '<!doctype html><title>404</title>', /got a web page/],
      ['an empty file', () => '', /got an empty file/],
      ['a download that was cut', async () => (await writeNpz(good())).subarray(0, 5000), /got a zip archive without its end after 5000 bytes.*download was cut/],
    ] satisfies [string, () => string | Uint8Array | Promise<Uint8Array>, RegExp][]
  ).map(([mistake, make, says]): Mistake => ({ door: 'VoicePreset.load', mistake, make: async () => VoicePreset.load(blob(await make())), says, code: 'ERR_WEIGHTS' })),
  {
    door: 'VoicePreset.load',
    mistake: 'ids as float16, which rounds them',
    make: async () => {
      const header = "{'descr': '<f2', 'fortran_order': False, 'shape': (1,), }".padEnd(117);
      const npy = Uint8Array.from(`\x93NUMPY\x01\0\x76\0${header}\n\xab\x70`, (char) => char.charCodeAt(0));
      await VoicePreset.load(blob(zipSync({ 'semantic_prompt.npy': npy })));
    },
    says: /semantic_prompt\.npy: got 9\d\d\d at value 0 as a float16, expected integers: .*astype\('int64'\)/,
    code: 'ERR_WEIGHTS',
  },
  { door: 'VoicePreset.load', mistake: "{ repair: 'yes' }", make: () => VoicePreset.load(blob(''), { repair: 'yes' as never }), says: /got '?yes'? for repair, expected true or false/ },
  { door: 'VoicePreset.load', mistake: '{ mend: true }', make: () => VoicePreset.load(blob(''), { mend: true } as never), says: /VoicePreset\.load: got the unknown option 'mend', expected one of repair/ },
]); // prettier-ignore

test('coarse codes that are not those of fine are used, as suno does, but not in silence', async () => {
  const odd: Arrays = {
    ...good(),
    coarse_prompt: mapped(good().coarse_prompt, (code, i) => (i % 2 ? code : (code + 1) % 1024)),
  };
  const voice = await use(odd);
  assert.match(
    voice.warnings.join(),
    /300 of the 600 codes of coarse_prompt are not those of the first 2 rows of fine_prompt: .*repair: true/,
  );
  const mended = await use(odd, true);
  assert.match(mended.warnings.join(), /put the codes of fine_prompt in place of 300 other codes of coarse_prompt/);
  assert.equal((await use(good())).warnings, []);
  assert.equal((await use(good(), true)).warnings, []);
});

test('encode passes on what was mended; the rules are those of the model', async () => {
  const processor = await BarkProcessor.fromPretrained();
  const demo = (await processor.encode('hello.', { voicePreset: 'demo/ada' })).historyPrompt as VoicePreset;
  const spoilt: Arrays = {};
  for (const prompt of ['semantic_prompt', 'coarse_prompt', 'fine_prompt'] as const)
    spoilt[prompt] = { data: demo[prompt], shape: [...demo.shapes[prompt]] };
  const path = await written({ ...spoilt, coarse_prompt: transposed(spoilt.coarse_prompt!) });
  const { generation_config } = processor;
  const voicePreset = await VoicePreset.load(path, { repair: true, generation_config });
  assert.equal(voicePreset.coarse_prompt, demo.coarse_prompt);
  const { warnings } = await processor.encode('hello.', { voicePreset });
  assert.is(warnings.filter((warning) => /transposed/.test(warning)).length, 1);
  assert.equal((await processor.encode('hello.', { voicePreset: demo as VoicePresetLike })).warnings, []);
});

test('--repair-voice without --voice is wrong usage', async () => {
  const context = { signal: new AbortController().signal } as Parameters<typeof say>[1];
  const error = await say({ command: 'say', words: ['hello'], values: { 'repair-voice': true } }, context).catch(
    (cause: Error) => cause,
  );
  assert.match((error as Error).message, /--repair-voice: got it without --voice, expected both/);
});

test('200 refused calls of each kind leave nothing open', () => leavesNothing(ROWS));

test.run();
