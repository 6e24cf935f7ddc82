// A generation_config.json that does not fit its model: the folder loads all the same, `forward`
// gives the logits that it gives with the right file, and whatever speaks says what does not fit.
// Needs: a device, on wasm.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { convert } from '../../bark/convert/convert.ts';
import { BarkModel } from '../../bark/model.ts';
import { BarkProcessor } from '../../bark/processor/processor.ts';
import { testDevice } from '../device.ts';
import { readFixture } from '../fixtures/fixture.ts';
import { writeModelFolder } from '../fixtures/write_model.ts';
import { temporaryFolder } from '../bark/models.ts';
import { leavesNothing } from './calls.ts';
import { testMistakes } from './table.ts';

const test = suite('mistakes: generation_config.json');
const fixture = readFixture('base');

/** The fixture's folder with another generation_config.json. */
async function folderWith(generation: unknown): Promise<string> {
  const folder = temporaryFolder();
  await writeModelFolder(folder, fixture);
  writeFileSync(join(folder, 'generation_config.json'), JSON.stringify(generation));
  return folder;
}

const device = await testDevice();
const load = async (folder: string, offload = false) =>
  BarkModel.fromPretrained(folder, { device, dtype: 'float32', offload });

// As save_pretrained of transformers writes it for a model that was just made.
const fresh = await folderWith({ _from_model_config: true, transformers_version: '5.18.0' });
const model = await load(fresh);
const MISFIT =
  /generation_config\.json \(without semantic_config, .*: suno's defaults\): .* is \d+, expected at most \d+.*write this model's own numbers/;

test('the folder loads, and says in a warning what will not work', () => {
  assert.is(model.warnings.filter((warning) => MISFIT.test(warning)).length, 1);
  assert.match(model.warnings.join('\n'), /forward\(\) works, and generate\(\) is refused/);
});

test('forward gives what it gives with the right file', async () => {
  const folder = temporaryFolder();
  await writeModelFolder(folder, fixture);
  for (const offload of [false, true]) {
    const right = await load(folder, offload);
    const other = await load(fresh, offload);
    const inputIds = [[1, 2, 3, 4, 5]];
    for (const stage of ['semantic', 'coarse_acoustics'] as const) {
      const [a, b] = [await right[stage].forward({ inputIds }), await other[stage].forward({ inputIds })];
      assert.equal(b.logits, a.logits, stage);
    }
    const codes = [Array.from({ length: 4 }, (_, t) => Array.from({ length: 8 }, (_, c) => t + c))];
    const [a, b] = [await right.fine_acoustics.forward(3, codes), await other.fine_acoustics.forward(3, codes)];
    assert.equal(b.logits, a.logits, 'fine');
    const codec = { data: Int32Array.from({ length: 8 * 9 }, (_, i) => i % 16), shape: [8, 9] };
    assert.equal(await other.codec_model.decode(codec), await right.codec_model.decode(codec), 'codec');
    right.dispose();
    other.dispose();
  }
});

test('such a folder converts, with a warning', async () => {
  const out = join(temporaryFolder(), 'out');
  const { warnings } = await convert(fresh, out, { voices: false });
  assert.match(warnings.join('\n'), MISFIT);
  (await load(out)).dispose();
});

const inputs = await (await BarkProcessor.fromPretrained(fresh)).encode('aaaf aaag');
const hooks = { temperature: null, topK: null, topP: null, seeds: [[0, 0] as [number, number]] };
const ROWS = testMistakes(test, [
  {
    door: 'model.generate',
    mistake: 'an empty generation_config.json',
    make: () => model.generate(inputs),
    says: MISFIT,
    code: 'ERR_WEIGHTS',
  },
  {
    door: 'model.semantic.generate',
    mistake: 'an empty generation_config.json',
    make: () => model.semantic.generate({ ...inputs, history: [null] }, { ...hooks, minEosP: null, maxNewTokens: 2 }),
    says: MISFIT,
    code: 'ERR_WEIGHTS',
  },
  {
    door: 'model.coarse_acoustics.generate',
    mistake: 'an empty generation_config.json',
    make: () =>
      model.coarse_acoustics.generate(
        { semantic: [Int32Array.of(1, 2)], history: [null] },
        { ...hooks, strictMask: true },
      ),
    says: MISFIT,
    code: 'ERR_WEIGHTS',
  },
  {
    door: 'model.fine_acoustics.generate',
    mistake: 'an empty generation_config.json',
    make: () => model.fine_acoustics.generate(Int32Array.of(1, 2), null, { temperature: null, seed: [0, 0] }),
    says: MISFIT,
    code: 'ERR_WEIGHTS',
  },
  {
    door: 'model.generate',
    mistake: 'the generation_config.json of another model',
    make: async () => {
      const other = await load(await folderWith(readFixture('spec84').generation_config));
      try {
        await other.generate(inputs);
      } finally {
        other.dispose();
      }
    },
    says: /generation_config\.json: semantic_config\.text_pad_token is 129595, expected at most \d+.*not of one model/,
    code: 'ERR_WEIGHTS',
  },
  {
    door: 'BarkModel.fromPretrained',
    mistake: 'max_fine_history_length above half of max_fine_input_length',
    make: async () => {
      const { generation_config } = readFixture('fine_windows');
      const fine_acoustics_config = {
        ...(generation_config.fine_acoustics_config as object),
        max_fine_history_length: 21,
      };
      await load(await folderWith({ ...generation_config, fine_acoustics_config }));
    },
    says: /fine_acoustics_config\.max_fine_history_length is 21, expected a whole number from 1 to 20, half of max_fine_input_length \(40\)/,
    code: 'ERR_WEIGHTS',
  },
  {
    door: 'BarkModel.fromPretrained',
    mistake: 'a shorter max_fine_input_length without its max_fine_history_length',
    make: async () => load(await folderWith({ fine_acoustics_config: { max_fine_input_length: 96 } })),
    says: /max_fine_history_length is 512, expected a whole number from 1 to 48/,
    code: 'ERR_WEIGHTS',
  },
]);

test.after(() => model.dispose());

test('200 refused calls of each kind leave nothing open', () => leavesNothing(ROWS));

test.run();
