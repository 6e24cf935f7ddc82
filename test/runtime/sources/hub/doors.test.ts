// A Hub id through the public doors: only the files that are needed are fetched, the second time
// none, and the model speaks as the folder does.
// Needs: a device, on wasm.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { BarkModel } from '../../../../bark/model.ts';
import type { ProgressEvent } from '../../../../bark/options.ts';
import { BarkProcessor } from '../../../../bark/processor/processor.ts';
import { VoicePreset, type VoicePresetLike } from '../../../../bark/processor/voice_preset.ts';
import { writeNpy } from '../../../../runtime/formats/npy.ts';
import { assertRow, encodeRun, greedyOptions, temporaryFolder } from '../../../bark/models.ts';
import { testDevice } from '../../../device.ts';
import { repoOf } from './repos.ts';
import { assertSound, restoreEnvironment, setEnvironment, stage } from './support.ts';
import { readFixture } from '../../../fixtures/fixture.ts';
import { writeModelFolder } from '../../../fixtures/write_model.ts';

const test = suite('hub through the doors');
test.after(restoreEnvironment);

test('org/name speaks, first with the Hub and then without', async () => {
  const fixture = readFixture('base');
  const [plain, voiced] = fixture.runs;
  const folder = temporaryFolder();
  await writeModelFolder(folder, fixture, { shards: 3 });
  const all = readdirSync(folder).map((name): [string, string | Uint8Array] => [
    name,
    /\.safetensors$/.test(name) ? readFileSync(join(folder, name)) : readFileSync(join(folder, name), 'utf8'),
  ]);
  const preset = VoicePreset.from(voiced!.history as VoicePresetLike);
  const npy = (prompt: 'semantic_prompt' | 'coarse_prompt' | 'fine_prompt') =>
    [
      `speaker_embeddings/v2/en_speaker_6_${prompt}.npy`,
      writeNpy({ data: preset[prompt], shape: preset.shapes[prompt] }),
    ] as const;
  const arrays = Object.fromEntries([npy('semantic_prompt'), npy('coarse_prompt'), npy('fine_prompt')]);
  const paths = (name: string) =>
    Object.fromEntries(
      ['semantic_prompt', 'coarse_prompt', 'fine_prompt'].map((prompt) => [
        prompt,
        `speaker_embeddings/${name}_${prompt}.npy`,
      ]),
    );
  const list = JSON.stringify({
    repo_or_path: 'org/name',
    'v2/en_speaker_6': paths('v2/en_speaker_6'),
    announcer: paths('announcer'),
  });
  const unneeded = {
    'README.md': '# A model\n',
    'pytorch_model.bin': new Uint8Array(5000),
    'flax_model.msgpack': new Uint8Array(5001),
    'speaker_embeddings/announcer_fine_prompt.npy': new Uint8Array(500),
  };
  const { hub, cacheDir } = await stage({
    'org/name': repoOf({ ...Object.fromEntries(all), ...arrays, ...unneeded, 'speaker_embeddings_path.json': list }),
  });

  const events: ProgressEvent[] = [];
  const options = { cacheDir, onProgress: (event: ProgressEvent) => void events.push({ ...event }) };
  const speak = async () => {
    const [processor, model] = await Promise.all([
      BarkProcessor.fromPretrained('org/name', options),
      BarkModel.fromPretrained('org/name', { device: await testDevice(), dtype: 'float32', ...options }),
    ]);
    const opened = { fixture, processor, model };
    assertRow(await model.generate(await encodeRun(opened, plain!), greedyOptions(plain!)), 0, plain!, 0, opened);
    assert.equal(processor.voices(), ['v2/en_speaker_6', 'announcer']);
    const before = hub.gets(/npy/).length;
    assertRow(
      await model.generate(await encodeRun(opened, voiced!, 'v2/en_speaker_6'), greedyOptions(voiced!)),
      0,
      voiced!,
      0,
      opened,
    );
    model.dispose();
    return hub.gets(/npy/).length - before;
  };

  assert.is(await speak(), 3, 'a voice is fetched when it speaks');
  const fetched = hub.gets(/resolve/).map(({ path }) => path.replace(/.*resolve\/[^/]+\//, ''));
  assert.equal([...new Set(fetched)].sort(), [...fetched].sort(), 'a file was fetched twice');
  assert.equal(
    fetched.filter((path) => path in unneeded),
    [],
    'unneeded files',
  );
  for (const path of ['config.json', 'generation_config.json', 'tokenizer.json', 'model.safetensors.index.json'])
    assert.ok(fetched.includes(path), `${path}: ${fetched}`);
  const size = [...all, ...Object.entries(arrays)].reduce((sum, [, value]) => sum + Buffer.byteLength(value), 0);
  assert.ok(hub.bytesGiven() <= size + 20_000, `${hub.bytesGiven()} bytes of ${size}`);
  const downloads = events.filter(({ stage }) => stage === 'download');
  assert.ok(
    downloads.length > 0 && downloads.every(({ done, total }) => done <= total),
    JSON.stringify(downloads.slice(0, 5)),
  );
  assertSound(cacheDir);

  hub.log.length = events.length = 0;
  setEnvironment({ HF_ENDPOINT: hub.endpoint, HF_HUB_OFFLINE: '1' });
  assert.is(await speak(), 0);
  assert.equal(hub.log, []);
  assert.equal(
    events.filter(({ stage }) => stage === 'download'),
    [],
  );
});

test.run();
