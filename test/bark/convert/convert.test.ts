// Conversion: the names are those of transformers' save_pretrained, f32 is bit for bit the source,
// f16 is torch's .half(); what is there is replaced only when it may be, and a conversion that
// fails leaves nothing. With BARK_TEST_PYTHON (an interpreter with transformers) the folders are
// loaded there, too.
// Needs: no GPU.

import { spawnSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { convert, type ConvertOptions } from '../../../bark/convert/convert.ts';
import { castBytes } from '../../../bark/convert/tensors.ts';
import { BarkModel } from '../../../bark/model.ts';
import { openPretrained } from '../../../bark/pretrained/pretrained.ts';
import { BarkProcessor } from '../../../bark/processor/processor.ts';
import type { Checkpoint, StoredDType } from '../../../runtime/formats/checkpoint.ts';
import { InputError } from '../../../runtime/base/errors.ts';
import { openCheckpoint } from '../../../runtime/formats/open_checkpoint.ts';
import { float32ToFloat16 } from '../../../runtime/base/half.ts';
import { openModelSource } from '../../../runtime/sources/open_source.ts';
import { testDevice } from '../../device.ts';
import { formulaWeights, writeModelFolder, type Fixture } from '../../formula.ts';
import type { FolderOptions } from '../../fixtures/write_model.ts';
import { assertRow, encodeRun, greedyOptions, temporaryFolder as processFolder } from '../models.ts';
import type { ModelSource } from '../../../runtime/files/model_source.ts';

const test = suite('convert');
const SUNO = fileURLToPath(new URL('../../fixtures/suno/', import.meta.url));
const META = 'encodec_24khz-d7cc33bc.th';
const fixture = JSON.parse(readFileSync(join(SUNO, 'model.json'), 'utf8')) as Fixture;
const SAVED = JSON.parse(readFileSync(join(SUNO, 'saved.json'), 'utf8')) as Record<string, [string, ...number[]]>;
const TORCH_DTYPES: Record<string, StoredDType> = { 'torch.float32': 'F32', 'torch.bool': 'BOOL' };

const ROOT = processFolder();
let folders = 0;
function temporaryFolder(): string {
  const path = join(ROOT, String(folders++));
  mkdirSync(path);
  return path;
}

/** A Hub that has nothing. */
const offline = { localFilesOnly: true, cacheDir: join(temporaryFolder(), 'hub') };
const out = () => join(temporaryFolder(), 'out');
const json = (value: unknown) => new Blob([JSON.stringify(value)]);
const blob = (name: string) => new Blob([readFileSync(join(SUNO, name))]);

function triple(): Map<string, Blob> {
  return new Map([
    ...['text_2.pt', 'coarse.pt', 'fine_2.pt'].map((name) => [name, blob(name)] as const),
    ['generation_config.json', json(fixture.generation_config)],
  ]);
}
const codec = () =>
  new Map([
    ['config.json', json(fixture.config.codec_config)],
    [META, blob(META)],
  ]);

/** A folder in Hugging Face's layout. */
async function folder(
  options: FolderOptions = {},
  from: Pick<Fixture, 'config' | 'generation_config' | 'formula' | 'texts'> = fixture,
): Promise<string> {
  const path = temporaryFolder();
  await writeModelFolder(path, from, { extras: false, ...options });
  return path;
}

const open = async (path: string): Promise<Checkpoint> => openCheckpoint(await openModelSource(path));
const f32 = (bytes: Uint8Array<ArrayBuffer>) => new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
const without = (file: string) => (name: string) => name !== file;

async function rejects(
  promise: Promise<unknown>,
  pattern: RegExp,
  kind: new (message: string) => Error = InputError,
): Promise<void> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof kind, `${String(error)} is a ${kind.name}`);
  assert.match((error as Error).message, pattern);
}

test('floats become what torch makes of them, bit for bit', () => {
  const casts = JSON.parse(readFileSync(join(SUNO, 'casts.json'), 'utf8')) as Record<
    StoredDType,
    { bytes: string; F16: string; F32: string }
  >;
  for (const [from, { bytes, ...expected }] of Object.entries(casts) as [StoredDType, (typeof casts)[StoredDType]][]) {
    for (const to of ['F16', 'F32'] as const)
      assert.is(
        Buffer.from(castBytes(new Uint8Array(Buffer.from(bytes, 'hex')), from, to)).toString('hex'),
        expected[to],
        `${from} to ${to}`,
      );
  }
});

test("suno's triple in f32: the tensors of save_pretrained, bit for bit; it speaks as the fixture", async () => {
  const path = out();
  const events: number[] = [];
  const report = await convert(triple(), path, {
    dtype: 'float32',
    codec: codec(),
    tokenizer: await folder(),
    onProgress: ({ stage, done, total, file }) =>
      void (stage === 'convert' && file === 'model.safetensors' && done <= total && events.push(done)),
  });
  assert.equal(
    { ...report, bytes: 0 },
    { folder: path, tensors: Object.keys(SAVED).length, bytes: 0, missing: [], warnings: [] },
  );
  assert.equal(
    events,
    [...events].sort((a, b) => a - b),
  );
  assert.is(events.at(-1), report.bytes);
  assert.is(report.bytes, readFileSync(join(path, 'model.safetensors')).length);

  const checkpoint = await open(path);
  assert.equal(checkpoint.names().sort(), Object.keys(SAVED).sort());
  const expected = formulaWeights(fixture.config, { ...fixture.formula, extras: false });
  for (const [name, [dtype, ...shape]] of Object.entries(SAVED)) {
    assert.equal(
      { ...checkpoint.info(name), byteLength: 0 },
      { ...checkpoint.info(name), dtype: TORCH_DTYPES[dtype], shape, byteLength: 0 },
      name,
    );
    if (expected.has(name)) assert.equal(await checkpoint.read(name), await expected.read(name), name);
  }
  await checkpoint.close();
  assert.equal(JSON.parse(readFileSync(join(path, 'config.json'), 'utf8')).dtype, 'float32');

  const processor = await BarkProcessor.fromPretrained(path);
  const model = await BarkModel.fromPretrained(path, { device: await testDevice(), dtype: 'float32' });
  const opened = { fixture, model, processor };
  for (const run of fixture.runs)
    assertRow(await model.generate(await encodeRun(opened, run), greedyOptions(run)), 0, run, 0, opened);
  model.dispose();
});

test('f16 is the default, and each float is rounded; shards, and halves and doubles of other kinds', async () => {
  const exact = formulaWeights(fixture.config, { ...fixture.formula, extras: false });
  for (const files of [{}, { shards: 3 }, { dtype: 'BF16' }, { dtype: 'F16' }] as FolderOptions[]) {
    const source = await folder(files);
    const path = out();
    await convert(source, path);
    const [before, after] = [await open(source), await open(path)];
    for (const name of after.names()) {
      const { dtype } = after.info(name);
      assert.is(dtype, name.endsWith('attn.bias') ? 'BOOL' : 'F16', name);
      if (files.dtype === 'F16') assert.equal(await after.read(name), await before.read(name), name);
      else if (!files.dtype && dtype === 'F16')
        assert.equal(
          await after.read(name),
          new Uint8Array(float32ToFloat16(f32(await exact.read(name))).buffer),
          name,
        );
    }
    await before.close();
    await after.close();
    const config = JSON.parse(readFileSync(join(path, 'config.json'), 'utf8'));
    assert.equal(
      [config.dtype, config.torch_dtype, config.codec_config.dtype, config.semantic_config.dtype],
      ['float16', undefined, 'float16', 'float16'],
    );
    assert.match(
      readFileSync(join(path, 'config.json'), 'utf8'),
      /"trim_right_ratio": 1\.0/,
      'floats keep their point',
    );
    await (await openPretrained(path)).close();
  }
});

test('tied heads are left out, whichever name the source has; a head of its own stays', async () => {
  for (const fineHeads of ['both', 'embeddings', 'heads'] as const) {
    const path = out();
    await convert(await folder({ fineHeads }), path, { dtype: 'float32' });
    const checkpoint = await open(path);
    assert.equal(
      checkpoint.names().filter((name) => name.includes('lm_heads')),
      [],
      fineHeads,
    );
    const expected = formulaWeights(fixture.config, fixture.formula);
    for (let c = 0; c < 4; c++)
      assert.equal(
        await checkpoint.read(`fine_acoustics.input_embeds_layers.${c}.weight`),
        await expected.read(`fine_acoustics.input_embeds_layers.${c}.weight`),
      );
    await checkpoint.close();
  }
  const source = await folder({ fineHeads: 'both' });
  const file = join(source, 'model.safetensors');
  const bytes = readFileSync(file);
  const length = Number(bytes.readBigUInt64LE());
  const { data_offsets } = JSON.parse(bytes.subarray(8, 8 + length).toString())['fine_acoustics.lm_heads.1.weight'] as {
    data_offsets: [number, number];
  };
  bytes[8 + length + data_offsets[0]]! ^= 1;
  writeFileSync(file, bytes);
  const path = out();
  await convert(source, path, { dtype: 'float32' });
  const checkpoint = await open(path);
  assert.equal(
    checkpoint.names().filter((name) => name.includes('lm_heads')),
    ['fine_acoustics.lm_heads.1.weight'],
  );
  await checkpoint.close();
});

test('values that become infinite are counted', async () => {
  const scaled = {
    ...fixture,
    formula: { ...fixture.formula, scale: { ...fixture.formula.scale, 'semantic.lm_head.weight': 3e5 } },
  };
  const values = f32(await formulaWeights(fixture.config, scaled.formula).read('semantic.lm_head.weight'));
  const count = values.filter((value) => Math.abs(value) >= 65520).length;
  assert.ok(count > 0);
  const { warnings } = await convert(await folder({}, scaled), out());
  assert.match(
    warnings.join('\n'),
    new RegExp(
      `${count} value\\(s\\) are too large for float16 and became infinite: semantic\\.lm_head\\.weight \\(${count}\\)\\.`,
    ),
  );
});

test('without codec and tokenizer the GPTs are converted, and what is missing is named', async () => {
  const path = out();
  const { missing, tensors } = await convert(triple(), path, offline);
  assert.equal(missing, ['codec', 'tokenizer']);
  assert.is(tensors, Object.keys(SAVED).filter((name) => !name.startsWith('codec_model.')).length);
  assert.is(JSON.parse(readFileSync(join(path, 'config.json'), 'utf8')).codec_config.num_filters, 32);
  await rejects((async () => (await openPretrained(path, offline)).openWeights())(), /got no codec/, Error);
  const whole = await (await openPretrained(path, { ...offline, codec: codec() })).openWeights();
  assert.ok(whole.has('codec_model.decoder.layers.0.conv.weight_g') && whole.has('semantic.lm_head.weight'));
  await whole.close();
  await rejects(
    convert(triple(), out(), { ...offline, codec: codec(), tokenizer: codec() }),
    /got no tokenizer\.json and no vocab\.txt/,
  );
});

test('tokenizer and voices come along; voices: false leaves them', async () => {
  const demo = fileURLToPath(new URL('../../../bark/demo_voice/', import.meta.url));
  const path = out();
  const report = await convert(demo, path);
  assert.equal(report.missing, []);
  const same = (file: string) => assert.equal(readFileSync(join(path, file)), readFileSync(join(demo, file)), file);
  for (const file of [
    'generation_config.json',
    'tokenizer.json',
    'tokenizer_config.json',
    'special_tokens_map.json',
    'vocab.txt',
    'speaker_embeddings_path.json',
  ])
    same(file);
  for (const file of readdirSync(join(demo, 'speaker_embeddings/demo'))) same(`speaker_embeddings/demo/${file}`);
  assert.not.ok(existsSync(join(path, 'README.md')));
  const processor = await BarkProcessor.fromPretrained(path);
  assert.ok(processor.voices().length > 0);
  await processor.encode('hello there', { voicePreset: processor.voices()[0]! });
  await convert(demo, path, { voices: false, force: true });
  assert.not.ok(existsSync(join(path, 'speaker_embeddings_path.json')) || existsSync(join(path, 'speaker_embeddings')));
});

test('a list of voices can name nothing but voices inside the folder, and lost ones are left out', async () => {
  const paths = (path: string) => ({ semantic_prompt: path, coarse_prompt: path, fine_prompt: path });
  for (const path of [
    '../evil.npy',
    '/etc/evil.npy',
    'config.json',
    'evil.npy',
    'a/model.safetensors',
    'a\\..\\b.npy',
  ]) {
    const source = await folder();
    writeFileSync(join(source, 'speaker_embeddings_path.json'), JSON.stringify({ x: paths(path) }));
    const target = out();
    await rejects(convert(source, target), /got the path/, Error);
    assert.not.ok(existsSync(target));
  }
  const source = await folder();
  mkdirSync(join(source, 'v'));
  writeFileSync(join(source, 'v', 'a.npy'), 'arrays');
  writeFileSync(
    join(source, 'speaker_embeddings_path.json'),
    JSON.stringify({ repo_or_path: 'x', here: paths('v/a.npy'), gone: paths('v/b.npy') }),
  );
  const target = out();
  const { warnings } = await convert(source, target);
  assert.match(warnings.join('\n'), /1 voice\(s\) it lists have no files and were left out: gone\./);
  assert.equal(JSON.parse(readFileSync(join(target, 'speaker_embeddings_path.json'), 'utf8')), {
    repo_or_path: 'x',
    here: paths('v/a.npy'),
  });
});

test('what is there is replaced only with force, and only a model', async () => {
  const source = await folder();
  const target = join(temporaryFolder(), 'a', 'b', 'out');
  await convert(source, target); // the folders above are made
  await rejects(convert(source, target), /got a folder that is not empty.*--force/);
  await convert(source, target, { force: true, dtype: 'float32' });
  assert.match(readFileSync(join(target, 'config.json'), 'utf8'), /"dtype": "float32"/);
  await rejects(convert(target, target, { force: true }), /got the same folder twice/);
  const link = join(temporaryFolder(), 'link');
  symlinkSync(target, link);
  await rejects(convert(link, target, { force: true }), /got the same folder twice/);

  const home = temporaryFolder();
  await convert(source, home); // an empty folder is as good as none
  writeFileSync(join(home, 'diary.txt'), 'dear diary');
  await rejects(
    convert(source, home, { force: true }),
    /got a folder with "diary\.txt", expected nothing but a converted model/,
  );
  const arrays = temporaryFolder();
  mkdirSync(join(arrays, 'data'));
  writeFileSync(join(arrays, 'data', 'years_of_work.npy'), 'x');
  await rejects(convert(source, arrays, { force: true }), /got a folder with "data"/);
  const linked = temporaryFolder();
  await convert(source, join(linked, 'm'));
  symlinkSync(home, join(linked, 'm', 'speaker_embeddings'));
  await rejects(convert(source, join(linked, 'm'), { force: true }), /got a folder with "speaker_embeddings"/);
  await rejects(convert(source, join(home, 'diary.txt'), { force: true }), /got a file, expected a folder/);
  await rejects(convert(source, '/', { force: true }), /got the root/);
  await rejects(convert(source, ' '), /got an empty path/);
  await rejects(convert(source, out(), { dtype: 'int8' as never }), /dtype: got "int8"/);
  assert.is(readFileSync(join(home, 'diary.txt'), 'utf8'), 'dear diary');
  for (const place of [join(target, '..'), linked])
    assert.equal(
      readdirSync(place).filter((name) => name.startsWith('.')),
      [],
      'nothing temporary is left',
    );
});

/** The folder as a source whose reads are watched. */
async function watched(path: string, onRead: (bytes: number) => void): Promise<ModelSource> {
  const inner = await openModelSource(path);
  return {
    ...inner,
    async open(file, options) {
      const { readInto: _, ...opened } = await inner.open(file, options);
      return { ...opened, read: async (start, end) => (onRead(end - start), opened.read(start, end)) };
    },
  };
}

test('a conversion that fails or is stopped leaves nothing, and what was there', async () => {
  const source = await folder();
  const place = temporaryFolder();
  const target = join(place, 'new', 'out');
  for (const failing of [1, 9, 40, 100]) {
    let reads = 0;
    const broken = await watched(source, () => {
      if (++reads === failing) throw new Error('the disk is gone');
    });
    await rejects(convert(broken, target), /the disk is gone/, Error);
    assert.equal(readdirSync(place), [], `read ${failing}`);
  }
  await convert(source, target);
  const before = readFileSync(join(target, 'model.safetensors'));
  const stop = new AbortController();
  const stopped: ConvertOptions = {
    force: true,
    dtype: 'float32',
    signal: stop.signal,
    onProgress: ({ done, total }) => void (done > total / 2 && stop.abort(new Error('enough'))),
  };
  await rejects(convert(source, target, stopped), /enough/, Error);
  assert.equal(readdirSync(join(place, 'new')), ['out']);
  assert.equal(readFileSync(join(target, 'model.safetensors')), before);
  // A damaged source: a tensor less.
  const lacking = {
    ...fixture,
    config: { ...fixture.config, semantic_config: { ...fixture.config.semantic_config, num_layers: 1 } },
  };
  const short = await folder({}, lacking);
  copyFileSync(join(source, 'config.json'), join(short, 'config.json'));
  await rejects(convert(short, join(place, 'short')), /got no tensor semantic\.layers\.1/, Error);
  assert.equal(readdirSync(place).filter(without('new')), []);
});

test('what a killed conversion left is taken away later, and not what another one writes', async () => {
  const place = temporaryFolder();
  const names = [
    '.out.0b9a0d4b-f4ca-4584-8193-366d15612229.tmp',
    '.out.1b9a0d4b-f4ca-4584-8193-366d15612229.tmp',
    '.out.mine.tmp',
  ];
  for (const name of names) {
    mkdirSync(join(place, name));
    writeFileSync(join(place, name, '.model.safetensors.x.tmp'), 'half');
  }
  const before = new Date(Date.now() - 2 * 3_600_000);
  for (const path of ['.model.safetensors.x.tmp', ''])
    for (const name of [names[0]!, names[2]!]) utimesSync(join(place, name, path), before, before);
  await convert(await folder(), join(place, 'out'));
  assert.equal(readdirSync(place).sort(), [names[1]!, names[2]!, 'out']);
});

test('a large table is read in pieces', async () => {
  const config = {
    ...fixture.config,
    semantic_config: { ...fixture.config.semantic_config, input_vocab_size: 100_000 },
  };
  const source = await folder({}, { ...fixture, config });
  let most = 0;
  const path = out();
  await convert(await watched(source, (bytes) => (most = Math.max(most, bytes))), path, { dtype: 'float32' });
  assert.ok(most <= 2 ** 22, `${most} bytes at once`);
  const name = 'semantic.input_embeds_layer.weight';
  const checkpoint = await open(path);
  assert.equal(await checkpoint.read(name), await formulaWeights(config, fixture.formula).read(name));
  await checkpoint.close();
});

const python = process.env.BARK_TEST_PYTHON;
const PROGRAM = `
import json, sys
from transformers import BarkModel
model, report = BarkModel.from_pretrained(sys.argv[1], output_loading_info=True)
print(json.dumps({"dtype": str(model.dtype), "keys": [len(report[k]) for k in ("missing_keys", "unexpected_keys", "mismatched_keys")], "lm_head": model.semantic.lm_head.weight.detach().flatten().float().tolist()[:5]}))
`;

(python ? test : test.skip)('transformers loads what was written (BARK_TEST_PYTHON)', async () => {
  for (const dtype of ['float16', 'float32'] as const) {
    const path = out();
    await convert(triple(), path, { dtype, codec: codec(), tokenizer: await folder() });
    const { stdout, stderr } = spawnSync(python!, ['-c', PROGRAM, path], { encoding: 'utf8' });
    assert.ok(stdout.includes('{'), stderr);
    const { lm_head, ...rest } = JSON.parse(stdout.slice(stdout.indexOf('{'))) as {
      lm_head: number[];
      dtype: string;
      keys: number[];
    };
    assert.equal(rest, { dtype: `torch.${dtype}`, keys: [0, 0, 0] });
    const expected = f32(await formulaWeights(fixture.config, fixture.formula).read('semantic.lm_head.weight', 0, 20));
    for (const [i, value] of lm_head.entries())
      assert.ok(
        Math.abs(value - expected[i]!) <= (dtype === 'float32' ? 0 : 1e-3 * Math.abs(expected[i]!)),
        `${value} for ${expected[i]}`,
      );
  }
});

test.run();
