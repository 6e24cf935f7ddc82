// The folder that a conversion makes: replaced only with force, there whole or not at all, and what
// a killed conversion left is taken away.
// Needs: no device.

import { copyFileSync, mkdirSync, readdirSync, readFileSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { convert, type ConvertOptions } from '../../../bark/convert/convert.ts';
import { openModelSource } from '../../../runtime/sources/open_source.ts';
import { formulaWeights } from '../../formula.ts';
import type { ModelSource } from '../../../runtime/files/model_source.ts';
import { fixture, temporaryFolder, out, folder, open, rejects } from './folders.ts';

const test = suite('output_folder');

const without = (file: string) => (name: string) => name !== file;

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
  await rejects(convert(source, out(), { dtype: 'int8' as never }), /got 'int8' for dtype/);
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

test.run();
