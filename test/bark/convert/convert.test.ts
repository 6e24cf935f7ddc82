// Conversion: the names are those of transformers' save_pretrained, f32 is bit for bit the source,
// f16 is torch's .half(); what is there is replaced only when it may be, and a conversion that
// fails leaves nothing. With BARK_TEST_PYTHON (an interpreter with transformers) the folders are
// loaded there, too.
// Needs: no device.

import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { convert } from '../../../bark/convert/convert.ts';
import { castBytes } from '../../../bark/convert/cast_bytes.ts';
import { BarkModel } from '../../../bark/model.ts';
import { openPretrained } from '../../../bark/pretrained/pretrained.ts';
import { BarkProcessor } from '../../../bark/processor/processor.ts';
import type { StoredDType } from '../../../runtime/formats/checkpoint.ts';
import { float32ToFloat16 } from '../../../runtime/base/half.ts';
import { testDevice } from '../../device.ts';
import { formulaWeights } from '../../formula.ts';
import type { FolderOptions } from '../../fixtures/write_model.ts';
import { assertRow, encodeRun, greedyOptions } from '../models.ts';
import { SUNO, fixture, temporaryFolder, out, folder, open, rejects } from './folders.ts';
import { META, json, blob, triple, f32 } from './released.ts';

const test = suite('convert');

const SAVED = JSON.parse(readFileSync(join(SUNO, 'saved.json'), 'utf8')) as Record<string, [string, ...number[]]>;

const TORCH_DTYPES: Record<string, StoredDType> = { 'torch.float32': 'F32', 'torch.bool': 'BOOL' };

/** A Hub that has nothing. */
const offline = { localFilesOnly: true, cacheDir: join(temporaryFolder(), 'hub') };

const codec = () =>
  new Map([
    ['config.json', json(fixture.config.codec_config)],
    [META, blob(META)],
  ]);

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

test.run();
