// A voice is saved, and the next sentence in it continues the first, as in transformers. Files that
// numpy made are read right, in every dtype, order and container, those of voice-clone tools too.
// See fixtures/voices/README.md.
// Needs: a device, on wasm.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { VoicePreset } from '../../../bark/processor/voice_preset.ts';
import { BarkGenerationConfig } from '../../../bark/config/generation_config.ts';
import { WeightsError } from '../../../runtime/base/errors.ts';
import { parseNpz } from '../../../runtime/formats/npy.ts';
import { testDevice } from '../../device.ts';
import { assertRow, encodeRun, greedyOptions, openFixture, temporaryFolder } from '../models.ts';
import { readFixture, type FixtureRun } from '../../fixtures/fixture.ts';

const test = suite('voice_save');
const files = fileURLToPath(new URL('../../fixtures/voices/', import.meta.url));
const PROMPTS = ['semantic_prompt', 'coarse_prompt', 'fine_prompt'] as const;
const readJson = (name: string) => JSON.parse(readFileSync(join(files, name), 'utf8'));

interface Continued {
  fixture: string;
  first: string;
  second: FixtureRun;
}

for (const { fixture: name, first: firstName, second } of readJson('continue.json') as Continued[]) {
  test(`${name}: said, saved, loaded, and continued as transformers does`, async () => {
    const fixture = readFixture(name);
    const first = fixture.runs.find((run) => run.name === firstName)!;
    const opened = await openFixture(fixture, { device: await testDevice() });
    try {
      const said = await opened.model.generate(await encodeRun(opened, first), greedyOptions(first));
      assertRow(said, 0, first, 0, opened);
      const path = join(temporaryFolder(), 'me.npz');
      await said.voice(0).save(path);

      const voice = await VoicePreset.load(path);
      for (const prompt of PROMPTS) assert.equal([...voice[prompt]], second.history![prompt].flat(), prompt);
      const next = await opened.model.generate(await encodeRun(opened, second, path), greedyOptions(second));
      assertRow(next, 0, second, 0, opened);
    } finally {
      opened.model.dispose();
    }
  });
}

const expected = readJson('expected.json') as Record<(typeof PROMPTS)[number], number[] | number[][]> & {
  semantic_prompt_float16: number[];
};
const suno = BarkGenerationConfig.fromJSON({});

for (const name of [
  'int64',
  'int32',
  'uint16',
  'int16_big_endian',
  'float64',
  'float32',
  'float16',
  'fortran',
  'compressed',
  'suno',
  'clone_views',
  'clone_batch',
  'clone_notes',
  'three',
]) {
  test(`made by numpy: ${name}`, async () => {
    const voice = await VoicePreset.load(join(files, name));
    assert.equal(voice.shapes, { semantic_prompt: [14], coarse_prompt: [2, 21], fine_prompt: [8, 21] });
    assert.equal(
      [...voice.semantic_prompt],
      name === 'float16' ? expected.semantic_prompt_float16 : expected.semantic_prompt,
    );
    assert.equal([...voice.coarse_prompt], expected.coarse_prompt.flat());
    assert.equal([...voice.fine_prompt], expected.fine_prompt.flat());
    voice.validate(suno);
  });
}

test('made by numpy, and no voice', async () => {
  const refused: [string, RegExp][] = [
    ['bad_object', /semantic_prompt\.npy: got .*expected/],
    ['bad_fraction', /semantic_prompt\.npy: got 2\.5 at value 1, expected a whole number/],
    ['bad_column', /semantic_prompt has shape \[14, 1\], expected 1 dimension/],
    ['bad_two', /semantic_prompt has shape \[2, 14\], expected 1 dimension/],
  ];
  for (const [name, message] of refused) {
    const error = await VoicePreset.load(join(files, `${name}.npz`)).then(
      () => undefined,
      (caught: Error) => caught,
    );
    assert.ok(error instanceof WeightsError && message.test(error.message), `${name}: ${error}`);
  }
});

test('what is saved is int64 in C order, stored, under the three names: what numpy writes', async () => {
  const path = join(temporaryFolder(), 'me');
  await (await VoicePreset.load(join(files, 'clone_batch'))).save(path);
  const bytes = readFileSync(`${path}.npz`);
  const numpy = readFileSync(join(files, 'int64.npz'));
  const names = [...(await parseNpz(bytes, 'me.npz')).keys()];
  assert.equal(names, [...PROMPTS]);
  // Stored members: numpy's own arrays, header and all, stand in both files as they are.
  for (const prompt of PROMPTS) {
    const start = numpy.indexOf('\x93NUMPY', numpy.indexOf(`${prompt}.npy`), 'latin1');
    const count = expected[prompt].flat().length;
    const array = numpy.subarray(start, start + 128 + 8 * count);
    assert.ok(bytes.includes(array), prompt);
  }
});

test.run();
