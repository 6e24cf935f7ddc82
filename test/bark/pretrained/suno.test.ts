// suno's own files, made by the real torch.save (fixtures/suno/make.py): they say what transformers
// says with the same weights, whatever the spelling of names and sizes; what is missing is named;
// nothing but headers is read before weights are asked for.
// Needs: a device, on wasm.

import { copyFileSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { BarkConfig } from '../../../bark/config/config.ts';
import { convert } from '../../../bark/convert/convert.ts';
import { BarkModel } from '../../../bark/model.ts';
import { openPretrained } from '../../../bark/pretrained/pretrained.ts';
import { BarkProcessor } from '../../../bark/processor/processor.ts';
import { findSunoFiles, hfName, openSuno } from '../../../bark/pretrained/suno.ts';
import { WeightsError } from '../../../runtime/base/errors.ts';
import { openModelSource } from '../../../runtime/sources/open_source.ts';
import { testDevice } from '../../device.ts';
import { formulaWeights } from '../../formula.ts';
import { assertRow, encodeRun, greedyOptions, temporaryFolder } from '../models.ts';
import type { ByteSource, ModelSource } from '../../../runtime/files/model_source.ts';
import { writeModelFolder } from '../../fixtures/write_model.ts';
import type { Fixture } from '../../fixtures/fixture.ts';

const test = suite('suno');
const HERE = fileURLToPath(new URL('../../fixtures/suno/', import.meta.url));
const FILES = ['text_2.pt', 'coarse.pt', 'fine_2.pt'];
const META = 'encodec_24khz-d7cc33bc.th';
const fixture = JSON.parse(readFileSync(join(HERE, 'model.json'), 'utf8')) as Fixture;
const sunoFile = (name: string) => new Blob([readFileSync(join(HERE, name))]);
const json = (value: unknown) => new Blob([JSON.stringify(value)]);

/** The files of a folder by name. */
const folderOf = (files: Record<string, Blob>) => new Map(Object.entries(files));
const triple = (): Record<string, Blob> => ({
  ...Object.fromEntries(FILES.map((name) => [name, sunoFile(name)])),
  'generation_config.json': json(fixture.generation_config),
});
const codec = () => folderOf({ 'config.json': json(fixture.config.codec_config), [META]: sunoFile(META) });

/** Where no test may go: a Hub that has nothing. */
const offline = { localFilesOnly: true, cacheDir: join(temporaryFolder(), 'hub') };

test('three files of mixed sizes and a codec of Meta say what transformers says', async () => {
  const folder = temporaryFolder();
  await writeModelFolder(folder, fixture); // for its tokenizer and generation_config.json
  for (const file of ['config.json', 'model.safetensors']) rmSync(join(folder, file));
  for (const file of FILES) copyFileSync(join(HERE, file), join(folder, file));
  const device = await testDevice();
  const model = await BarkModel.fromPretrained(folder, { device, dtype: 'float32', codec: codec() });
  const processor = await BarkProcessor.fromPretrained(folder);
  const opened = { fixture, model, processor };
  for (const run of fixture.runs) {
    const output = await model.generate(await encodeRun(opened, run), greedyOptions(run));
    assertRow(output, 0, run, 0, opened);
  }
  model.dispose();
});

test('configs are those of model_args, and the weights are bit for bit those of the HF names', async () => {
  const pretrained = await openPretrained(folderOf(triple()), { codec: codec() });
  assert.is(pretrained.layout, 'suno');
  assert.equal(pretrained.config, BarkConfig.fromJSON(fixture.config));
  const checkpoint = await pretrained.openWeights();
  const expected = formulaWeights(fixture.config, { ...fixture.formula, extras: false });
  for (const name of expected.names().filter((name) => !name.endsWith('attn.bias'))) {
    assert.ok(checkpoint.has(name), `${name} is there`);
    assert.equal(checkpoint.info(name).shape, expected.info(name).shape, name);
    assert.is(checkpoint.info(name).name, name);
    assert.equal(await checkpoint.read(name), await expected.read(name), name);
  }
  assert.not.ok(
    checkpoint.names().some((name) => name.endsWith('attn.bias') || name.includes('_orig_mod')),
    'no masks, no prefixes',
  );
  assert.is(
    checkpoint.info('fine_acoustics.lm_heads.0.weight').identity,
    checkpoint.info('fine_acoustics.input_embeds_layers.1.weight').identity,
    'tied',
  );
  assert.is.not(
    checkpoint.info('semantic.lm_head.weight').identity,
    checkpoint.info('coarse_acoustics.lm_head.weight').identity,
    'files count their storages alike',
  );
  assert.throws(
    () => checkpoint.info('coarse_acoustics.layers.7.attn.att_proj.weight'),
    (error: Error) =>
      error instanceof WeightsError && /coarse\.pt: got no tensor coarse_acoustics\.layers\.7/.test(error.message),
  );
  assert.throws(() => checkpoint.info('codec_model.no'), /encodec_24khz-d7cc33bc\.th: got no tensor codec_model\.no/);
  await checkpoint.close();
});

test('opening reads headers only', async () => {
  const inner = await openModelSource(folderOf(triple()));
  let read = 0;
  let closed = 0;
  const counted: ModelSource = {
    ...inner,
    async open(path, options): Promise<ByteSource> {
      const { readInto: _, ...file } = await inner.open(path, options);
      return {
        ...file,
        read: (start, end) => ((read += end - start), file.read(start, end)),
        close: async () => void closed++,
      };
    },
  };
  const { checkpoint } = await openSuno(counted, (await findSunoFiles(counted))!);
  // The reader takes blocks, which for files as tiny as these is all of them; of gigabytes it is no
  // more.
  assert.ok(read < FILES.length * 2 ** 18, `${read} bytes`);
  const before = read;
  await checkpoint.read('semantic.lm_head.weight', 96, 192);
  assert.ok(read - before < 512, `${read - before} bytes for 96`);
  await checkpoint.close();
  assert.is(closed, 3);
});

test('of two sizes the large one is taken, as suno does', async () => {
  const source = await openModelSource(
    folderOf({
      ...triple(),
      'text.pt': json('not looked at'),
      'coarse_2.pt': sunoFile('coarse.pt'),
      'coarse.pt': json('nor this'),
    }),
  );
  assert.equal(await findSunoFiles(source), {
    semantic: 'text_2.pt',
    coarse_acoustics: 'coarse_2.pt',
    fine_acoustics: 'fine_2.pt',
  });
  await (await openSuno(source, (await findSunoFiles(source))!)).checkpoint.close();
});

test('a stage that is missing is named', async () => {
  const { 'coarse.pt': _, ...two } = triple();
  await rejects(
    openPretrained(folderOf(two), { codec: codec() }),
    /got text_2\.pt and fine_2\.pt without coarse_2\.pt or coarse\.pt, expected all three/,
  );
  await rejects(openPretrained(folderOf({}), {}), /got no config\.json and no text_2\.pt/);
});

test('a codec that is not to be had is named, with the option that gives it', async () => {
  const pretrained = await openPretrained(folderOf(triple()), offline);
  await rejects(
    pretrained.openWeights(),
    /got no codec, expected encodec_24khz-d7cc33bc\.th beside the models or facebook\/encodec_24khz from the Hub .*--codec/s,
  );
  const without = await openPretrained(folderOf(triple()), offline);
  const gpts = await without.openWeights({ codec: 'optional' });
  assert.not.ok(gpts.names().some((name) => name.startsWith('codec_model')));
  await gpts.close();
  await rejects(
    (async () => (await openPretrained(folderOf(triple()), { ...offline, codec: folderOf({}) })).openWeights())(),
    /got no codec, expected model\.safetensors/,
  );
});

test("Meta's file beside the models is found", async () => {
  const pretrained = await openPretrained(folderOf({ ...triple(), [META]: sunoFile(META) }), offline);
  // the 24 kHz model: there is no config.json to say otherwise
  assert.is(pretrained.config.codec_config.num_filters, 32);
  const checkpoint = await pretrained.openWeights();
  assert.equal(checkpoint.info('codec_model.quantizer.layers.3.codebook.embed').shape, [64, 8]);
  await checkpoint.close();
});

test("a Bark can be named as the codec's place, and the config.json of suno's repository may lie beside the triple", async () => {
  const folder = temporaryFolder();
  await writeModelFolder(folder, fixture);
  const pretrained = await openPretrained(folderOf({ ...triple(), 'config.json': json({ model_type: 'bark' }) }), {
    codec: folder,
  });
  assert.equal(pretrained.config, BarkConfig.fromJSON(fixture.config));
  const checkpoint = await pretrained.openWeights();
  assert.ok(checkpoint.has('codec_model.decoder.layers.0.conv.weight_g'));
  assert.match(checkpoint.labelOf!('codec_model.decoder.layers.0.conv.weight_g'), folder);
  await checkpoint.close();
});

test("a Bark without a codec of its own is no place of one, but Meta's file in it is", async () => {
  // suno's repository without its weights
  const suno = folderOf({ 'config.json': json({ ...fixture.config, model_type: 'bark' }), [META]: sunoFile(META) });
  const pretrained = await openPretrained(folderOf(triple()), { ...offline, codec: suno });
  assert.is(pretrained.config.codec_config.num_filters, 32);
  const checkpoint = await pretrained.openWeights();
  assert.ok(checkpoint.has('codec_model.quantizer.layers.0.codebook.embed'));
  await checkpoint.close();

  const gpts = temporaryFolder();
  await convert(folderOf(triple()), join(gpts, 'out'), offline);
  const without = await openPretrained(folderOf(triple()), { ...offline, codec: join(gpts, 'out') });
  await rejects(
    without.openWeights({ codec: 'optional' }),
    /out\/model\.safetensors: got a Bark without a codec, expected one with codec_model/,
  );
});

test('without generation_config.json tokens are drawn as the published one says', async () => {
  const { 'generation_config.json': _, ...bare } = triple();
  const { generation_config, close } = await openPretrained(folderOf(bare), { codec: codec() });
  assert.is(generation_config.semantic_config.do_sample, true);
  assert.is(generation_config.coarse_acoustics_config.temperature, 0.7);
  assert.is(generation_config.fine_acoustics_config.temperature, 0.5);
  assert.is(generation_config.semantic_config.max_input_semantic_length, 256);
  await close();
});

test("a file that is none of suno's is refused by name", async () => {
  await rejects(
    openPretrained(folderOf({ ...triple(), 'fine_2.pt': sunoFile(META) }), { codec: codec() }),
    /fine_2\.pt: got a PyTorch file without a model, expected one of suno's/,
  );
});

test('names', () => {
  const pairs = [
    ['_orig_mod.transformer.h.11.attn.c_attn.weight', 'layers.11.attn.att_proj.weight'],
    ['transformer.h.0.attn.c_proj.bias', 'layers.0.attn.out_proj.bias'],
    ['transformer.h.3.mlp.c_fc.weight', 'layers.3.mlp.in_proj.weight'],
    ['transformer.h.3.mlp.c_proj.weight', 'layers.3.mlp.out_proj.weight'],
    ['transformer.h.3.ln_2.bias', 'layers.3.layernorm_2.bias'],
    ['transformer.ln_f.weight', 'layernorm_final.weight'],
    ['transformer.wpe.weight', 'position_embeds_layer.weight'],
    ['transformer.wte.weight', 'input_embeds_layer.weight'],
    ['transformer.wtes.7.weight', 'input_embeds_layers.7.weight'],
    ['lm_heads.6.weight', 'lm_heads.6.weight'],
  ] as const;
  for (const [suno, hf] of pairs) assert.is(hfName('fine_acoustics', suno), `fine_acoustics.${hf}`);
  assert.is(hfName('semantic', '_orig_mod.transformer.h.0.attn.bias'), undefined);
});

async function rejects(promise: Promise<unknown>, pattern: RegExp): Promise<void> {
  try {
    await promise;
  } catch (error) {
    assert.instance(error, WeightsError);
    assert.match((error as Error).message, pattern);
    return;
  }
  assert.unreachable(`expected an error like ${pattern}`);
}

test.run();
