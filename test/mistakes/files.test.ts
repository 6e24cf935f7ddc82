// Files that are not what they seem, each told by its content: at every door that reads one, what
// came instead is named, and what to do about it. And the ones that are only wrapped or put
// elsewhere: these load.
// Needs: no device.

import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { zipSync } from 'fflate';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { openPretrained } from '../../bark/pretrained/pretrained.ts';
import { BarkProcessor } from '../../bark/processor/processor.ts';
import { openCodecCheckpoint } from '../../encodec/checkpoint.ts';
import type { Checkpoint } from '../../runtime/formats/checkpoint.ts';
import { renamed, unwrapped } from '../../runtime/formats/views.ts';
import { makeFolder } from '../../runtime/host/make_folder.ts';
import { openHub } from '../../runtime/sources/hub/hub.ts';
import { openModelSource } from '../../runtime/sources/open_source.ts';
import { temporaryFolder } from '../bark/models.ts';
import { readFixture } from '../fixtures/fixture.ts';
import { writeModelFolder } from '../fixtures/write_model.ts';
import { startHub } from '../runtime/sources/hub/server.ts';
import { leavesNothing } from './calls.ts';
import { testMistakes, type Mistake } from './table.ts';

const test = suite('mistakes: files');
const SUNO = fileURLToPath(new URL('../fixtures/suno/', import.meta.url));
const META = 'encodec_24khz-d7cc33bc.th';

const place = temporaryFolder();
const whole = temporaryFolder();
await writeModelFolder(whole, readFixture('base'));
const read = (name: string) => new Uint8Array(readFileSync(join(whole, name)));
const ascii = (text: string) => Uint8Array.from(text, (char) => char.charCodeAt(0));

const LFS = ascii(
  'version https://git-lfs.github.com/spec/v1\noid sha256:4e3d407b9b3b619da184c85786c88e5e35f90f9089303e16db696ed0be477989\nsize 4486643861\n',
);
const PAGE = ascii('\n<!DOCTYPE html>\n<html><head><title>Sign in</title></head></html>');
const GGUF = ascii('GGUF\x03\0\0\0\x10\0\0\0\0\0\0\0');
const GGML = ascii('lmgg\x80\x3f\0\0\x40\x27\0\0');
const ONNX = ascii('\x08\x08\x12\x07pytorch\x1a\x052.1.0:\x10');

/** The fixture's files with some others in their place; undefined takes one away. */
function filesWith(changes: Record<string, Uint8Array | undefined>): Map<string, Blob> {
  const files = new Map(readdirSync(whole).map((name) => [name, new Blob([read(name)])]));
  for (const [name, bytes] of Object.entries(changes)) {
    if (bytes) files.set(name, new Blob([bytes as Uint8Array<ArrayBuffer>]));
    else files.delete(name);
  }
  return files;
}

function folderOf(files: Record<string, Uint8Array>): string {
  const folder = mkdtempSync(join(place, 'm-'));
  for (const [name, bytes] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), bytes);
  }
  return folder;
}

const weights = async (source: Map<string, Blob> | string) => (await openPretrained(source)).openWeights();
const processor = (source: Map<string, Blob> | string) => BarkProcessor.fromPretrained(source);
const row = (door: string, mistake: string, make: () => unknown, says: RegExp): Mistake => ({
  door,
  mistake,
  make,
  says,
  code: 'ERR_WEIGHTS',
});

const inWeights: [string, Uint8Array, RegExp][] = [
  ['a Git LFS pointer', LFS, /got a Git LFS pointer, expected the file itself\. Run: git lfs pull/],
  ['a web page', PAGE, /got a web page, expected .*ask for a login/],
  ['GGUF weights', GGUF, /got GGUF weights.*reads safetensors and PyTorch/],
  ['GGML weights', GGML, /got GGML weights, of bark\.cpp/],
  ['an ONNX graph', ONNX, /got an ONNX graph/],
  ['a gzip file', ascii('\x1f\x8b\x08\0\0\0\0\0\0\0'), /got a gzip file.*gunzip/],
];
const ROWS = testMistakes(test, [
  ...inWeights.map(([what, bytes, says]) =>
    row(
      'BarkModel.fromPretrained',
      `${what} as model.safetensors`,
      () => weights(filesWith({ 'model.safetensors': bytes })),
      says,
    ),
  ),
  ...inWeights.map(([what, bytes, says]) =>
    row(
      'BarkModel.fromPretrained',
      `${what} as pytorch_model.bin`,
      () => weights(filesWith({ 'model.safetensors': undefined, 'pytorch_model.bin': bytes })),
      says,
    ),
  ),
  row(
    'BarkModel.fromPretrained',
    "PyTorch's file under the name of safetensors",
    () => weights(filesWith({ 'model.safetensors': new Uint8Array(readFileSync(join(SUNO, 'text_2.pt'))) })),
    /model\.safetensors: got a zip archive, expected a safetensors file\. .*pytorch_model\.bin/,
  ),
  row(
    'BarkModel.fromPretrained',
    'a download of safetensors that was cut',
    () => weights(filesWith({ 'model.safetensors': read('model.safetensors').subarray(0, 100_000) })),
    /model\.safetensors: got data_offsets .*, expected an end within the \d+ bytes of data that came\. .*fetch it again/,
  ),
  row(
    'BarkModel.fromPretrained',
    'a download of safetensors that was cut in its header',
    () => weights(filesWith({ 'model.safetensors': read('model.safetensors').subarray(0, 1000) })),
    /got a file of 1000 bytes, expected at least \d+/,
  ),
  row(
    'BarkModel.fromPretrained',
    "a download of PyTorch's file that was cut",
    () => {
      const cut = new Uint8Array(readFileSync(join(SUNO, 'text_2.pt'))).subarray(0, 2000);
      return weights(filesWith({ 'model.safetensors': undefined, 'pytorch_model.bin': cut }));
    },
    /got a zip archive without its end after 2000 bytes, expected all of it\. The download was cut; fetch the file again/,
  ),
  ...['config.json', 'generation_config.json'].flatMap((name) => [
    row(
      'BarkModel.fromPretrained',
      `a Git LFS pointer as ${name}`,
      () => openPretrained(filesWith({ [name]: LFS })),
      /json: got a Git LFS pointer.*git lfs pull/,
    ),
    row(
      'BarkModel.fromPretrained',
      `a web page as ${name}`,
      () => openPretrained(filesWith({ [name]: PAGE })),
      /json: got a web page, expected JSON/,
    ),
  ]),
  row(
    'BarkProcessor.fromPretrained',
    'a Git LFS pointer as tokenizer.json',
    () => processor(filesWith({ 'tokenizer.json': LFS })),
    /tokenizer\.json: got a Git LFS pointer/,
  ),
  row(
    'BarkProcessor.fromPretrained',
    'a Git LFS pointer as vocab.txt',
    () => processor(filesWith({ 'tokenizer.json': undefined, 'vocab.txt': LFS })),
    /vocab\.txt: got a Git LFS pointer/,
  ),
  row(
    'EncodecModel.fromPretrained',
    "a web page as Meta's codec",
    async () => openCodecCheckpoint(await openModelSource(new Map([[META, new Blob([PAGE])]]))),
    /\.th: got a web page/,
  ),

  // Folders of another engine: with configs of transformers.js and without, at both doors.
  ...(
    [
      [
        'GGUF',
        { 'bark-small-q8_0.gguf': GGUF },
        /got GGUF weights.*\("bark-small-q8_0\.gguf"\), expected .*reads safetensors/,
      ],
      [
        'GGML',
        { 'ggml_weights.bin': GGML, 'README.md': ascii('bark.cpp') },
        /got GGML weights, of bark\.cpp \("ggml_weights\.bin"\)/,
      ],
      ['GGML under a name of its own', { 'weights.dat': GGML }, /got GGML weights.*"weights\.dat"/],
      ['ONNX', { 'onnx/decoder_model.onnx': ONNX }, /got an ONNX graph \("onnx\/decoder_model\.onnx"\)/],
    ] satisfies [string, Record<string, Uint8Array>, RegExp][]
  ).flatMap(([what, files, says]) => [
    row('BarkModel.fromPretrained', `a folder of ${what}`, () => weights(folderOf(files)), says),
    row('BarkProcessor.fromPretrained', `a folder of ${what}`, () => processor(folderOf(files)), says),
    row(
      'BarkModel.fromPretrained',
      `${what} beside a config.json`,
      () => weights(folderOf({ ...files, 'config.json': read('config.json') })),
      says,
    ),
  ]),
  row(
    'BarkModel.fromPretrained',
    'a file of GGUF for a folder',
    () => weights(join(folderOf({ 'm.gguf': GGUF }), 'm.gguf')),
    /m\.gguf: got GGUF weights/,
  ),
  row(
    'BarkModel.fromPretrained',
    'a packed folder',
    () => weights(join(folderOf({ 'bark.zip': zipSync({ 'bark/config.json': read('config.json') }) }), 'bark.zip')),
    /bark\.zip: got a zip archive, expected the folder of a model's files\. Unpack it/,
  ),
  row(
    'BarkModel.fromPretrained',
    'the weights for their folder',
    () => weights(join(whole, 'model.safetensors')),
    /got a file, expected the folder it lies in/,
  ),
  row(
    'BarkModel.fromPretrained',
    'the folder above the model',
    () => weights(folderOf({ 'bark-small/config.json': read('config.json') })),
    /got a folder whose model lies in "bark-small", expected .* Pass .*\/bark-small\./,
  ),
  row(
    'BarkModel.fromPretrained',
    "the folder above suno's",
    () => weights(folderOf({ 'suno/bark_v0/text_2.pt': GGML.subarray(0, 0) })),
    /model lies in "suno\/bark_v0"/,
  ),
]);

// What only looks wrong.

test("a checkpoint saved from DataParallel or torch.compile loads under the model's names", async () => {
  const plain = await weights(whole);
  const wraps: ((name: string) => string)[] = [
    (name) => `module.${name}`,
    (name) => `module._orig_mod.${name}`,
    (name) => name.replace(/^semantic\./, 'semantic._orig_mod.'),
  ];
  for (const wrap of wraps) {
    const bare: Checkpoint = unwrapped(renamed(plain, wrap));
    assert.equal(bare.names(), plain.names());
    assert.equal(await bare.read('semantic.lm_head.weight'), await plain.read('semantic.lm_head.weight'));
  }
  assert.is(unwrapped(plain), plain);
  await plain.close();
});

test("such a file of safetensors, through the library's door", async () => {
  const bytes = read('model.safetensors');
  const length = Number(new DataView(bytes.buffer).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length))) as Record<string, unknown>;
  const wrapped = ascii(
    JSON.stringify(
      Object.fromEntries(
        Object.entries(header).map(([name, entry]) => [name === '__metadata__' ? name : `module.${name}`, entry]),
      ),
    ),
  );
  const size = new Uint8Array(8);
  new DataView(size.buffer).setBigUint64(0, BigInt(wrapped.length), true);
  const file = new Uint8Array(await new Blob([size, wrapped, bytes.subarray(8 + length)]).arrayBuffer());
  const checkpoint = await weights(filesWith({ 'model.safetensors': file }));
  assert.ok(checkpoint.has('semantic.lm_head.weight'));
  assert.not.ok(checkpoint.names().some((name) => name.startsWith('module.')));
  await checkpoint.close();
});

test("suno's own cache: the codec is found where torch.hub keeps it", async () => {
  const offline = { localFilesOnly: true, cacheDir: join(temporaryFolder(), 'hub') };
  for (const [models, codec] of [
    ['suno/bark_v0', 'torch/hub/checkpoints'],
    ['bark', 'torch/hub/checkpoints'],
    ['.', 'torch/hub/checkpoints'],
    ['.', '.'],
  ] as const) {
    const cache = mkdtempSync(join(place, 'cache-'));
    for (const folder of [models, codec]) mkdirSync(join(cache, folder), { recursive: true });
    for (const name of ['text_2.pt', 'coarse.pt', 'fine_2.pt'])
      copyFileSync(join(SUNO, name), join(cache, models, name));
    copyFileSync(join(SUNO, META), join(cache, codec, META));
    const checkpoint = await (await openPretrained(join(cache, models), offline)).openWeights();
    assert.ok(checkpoint.has('codec_model.quantizer.layers.0.codebook.embed'), `${models} and ${codec}`);
    await checkpoint.close();
  }
});

test('a folder below /proc is refused and not waited for', async () => {
  if (process.platform !== 'linux') return console.log('skipped: no /proc');
  const error = await makeFolder('/proc/bark/hub').catch((cause: NodeJS.ErrnoException) => cause);
  assert.is((error as NodeJS.ErrnoException).code, 'ENOENT');
  const commit = 'a'.repeat(40);
  const files = new Map([['config.json', { bytes: read('config.json') }]]);
  const hub = await startHub({
    'org/model': { commits: new Map([[commit, files]]), refs: new Map([['main', commit]]) },
  });
  const before = { HF_ENDPOINT: process.env.HF_ENDPOINT, HF_HOME: process.env.HF_HOME };
  Object.assign(process.env, { HF_ENDPOINT: hub.endpoint, HF_HOME: '/proc/bark' });
  try {
    const refused = (await (await openHub('org/model')).open('config.json').catch((cause: Error) => cause)) as Error;
    assert.match(
      refused.message,
      /^\/proc\/bark\/hub\/.*: got ENOENT, expected to use it as part of the cache folder\. .*HF_HUB_CACHE/,
    );
  } finally {
    for (const [name, value] of Object.entries(before))
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    await hub.close();
  }
});

test('200 refused calls of each kind leave nothing open', () => leavesNothing(ROWS));
test.run();
