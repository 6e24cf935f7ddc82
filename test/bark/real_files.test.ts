// The real files: the configs, tensor inventories and voices of suno/bark-small and suno/bark.
// Every tensor that the loaders ask for is in the inventory with that shape, what they leave is
// what nothing needs, and no buffer passes 128 MiB. Needs ../shared, but no weights: they are zeros
// that are never computed with. (The tokenizer's golden vectors are in processor.test.ts, the
// configs' values in config.test.ts.)
// Needs: no device.

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { BarkCoarseModel } from '../../bark/coarse.ts';
import { BarkConfig } from '../../bark/config/config.ts';
import { BarkFineModel } from '../../bark/fine.ts';
import { BarkGenerationConfig } from '../../bark/config/generation_config.ts';
import { BarkSemanticModel } from '../../bark/semantic.ts';
import { VoicePreset } from '../../bark/processor/voice_preset.ts';
import { EncodecModel } from '../../encodec/model.ts';
import type { Checkpoint, StoredDType, TensorInfo } from '../../runtime/formats/checkpoint.ts';
import type { Device } from '../../runtime/compute/device.ts';
import { byteSize, type DType } from '../../runtime/compute/tensor.ts';
import { missingTensor } from '../../runtime/base/messages.ts';
import { walkWeights } from '../../runtime/formats/weights.ts';
import { checkGeneration } from '../../bark/config/check_generation.ts';

const test = suite('real files');

const shared = new URL('../../../shared/data/', import.meta.url);
const isHere = existsSync(shared);
const json = (path: string): unknown => JSON.parse(readFileSync(new URL(path, shared), 'utf8'));

/** tensors.txt (name|dtype|AxBxC) as a checkpoint of zeros that remembers what was read. */
function inventory(path: string): { checkpoint: Checkpoint; read: Set<string>; infos: Map<string, TensorInfo> } {
  const infos = new Map<string, TensorInfo>();
  for (const line of readFileSync(new URL(path, shared), 'utf8').trim().split('\n')) {
    const [name, dtype, sizes] = line.split('|') as [string, StoredDType, string];
    const shape = sizes === '' ? [] : sizes.split('x').map(Number);
    infos.set(name, { name, dtype, shape, byteLength: shape.reduce((a, b) => a * b, dtype === 'BOOL' ? 1 : 4) });
  }
  const read = new Set<string>();
  const zeros = new ArrayBuffer(2 ** 26);
  const info = (name: string): TensorInfo => {
    const found = infos.get(name);
    if (!found) throw missingTensor(path, [name], [...infos.keys()]);
    return found;
  };
  const checkpoint: Checkpoint = {
    label: path,
    names: () => [...infos.keys()],
    has: (name) => infos.has(name),
    info,
    async read(name, start = 0, end = info(name).byteLength) {
      assert.ok(
        start >= 0 && end <= info(name).byteLength && end - start <= zeros.byteLength,
        `${name}: bytes ${start} to ${end}`,
      );
      read.add(name);
      return new Uint8Array(zeros, 0, end - start);
    },
    async close() {},
  };
  return { checkpoint, read, infos };
}

/**
 * A device that computes nothing and books the bytes that it is asked for: a real one would need
 * gigabytes.
 */
function paperDevice(): { device: Device; booked: Map<string, number>; largest: () => number } {
  const booked = new Map<string, number>();
  let largest = 0;
  const anything: unknown = new Proxy(() => {}, {
    get: (_, key) => (key === 'then' ? undefined : key === Symbol.toPrimitive ? () => 1 : anything),
    apply: () => anything,
  });
  const owned = (owner: string | { name: string }) => (typeof owner === 'string' ? owner : owner.name);
  const own: Record<string, unknown> = {
    limits: {
      maxComputeWorkgroupsPerDimension: 65_535,
      maxStorageBufferBindingSize: 2 ** 27,
      maxBufferSize: 2 ** 28,
      maxComputeWorkgroupStorageSize: 16_384,
    },
    capabilities: {
      subgroups: false,
      subgroupMinSize: 0,
      subgroupMaxSize: 0,
      subgroupSizeControl: false,
      f16: false,
      timestamps: false,
      subgroupMatrices: [],
    },
    createBuffer(size: number, _usage: number, owner: string) {
      booked.set(owned(owner), (booked.get(owned(owner)) ?? 0) + size);
      largest = Math.max(largest, size);
      return { size };
    },
    createTensor(shape: number[], dtype: DType, owner: string, label: string) {
      return {
        buffer: (own['createBuffer'] as (...a: unknown[]) => unknown)(byteSize(shape, dtype), 0, owner),
        offset: 0,
        shape,
        dtype,
        label,
      };
    },
  };
  const device = new Proxy(own, {
    get: (_, key) => (key in own ? own[key as string] : key === 'then' ? undefined : anything),
  }) as unknown as Device;
  return { device, booked, largest: () => largest };
}

for (const repository of ['bark-small', 'bark']) {
  test(`suno/${repository}: the loaders ask for what is there, and leave what nothing needs`, async () => {
    if (!isHere) return console.log('skipped: ../shared is not here');
    const config = BarkConfig.fromJSON(json(`hub/${repository}/config.json`));
    const generation = BarkGenerationConfig.fromJSON(json(`hub/${repository}/generation_config.json`));
    assert.equal(checkGeneration(config, generation, 'generation_config.json'), []);
    for (const dtype of ['f16', 'f32'] as const) {
      const { checkpoint, read, infos } = inventory(`hub/${repository}/tensors.txt`);
      const { device, booked, largest } = paperDevice();
      const at = (path: string) => ({ device, dtype, weights: walkWeights(checkpoint, path) });
      const semantic = new BarkSemanticModel(at('semantic'), config.semantic_config, generation.semantic_config);
      const coarse = new BarkCoarseModel(at('coarse_acoustics'), config.coarse_acoustics_config, generation);
      const fine = new BarkFineModel(at('fine_acoustics'), config.fine_acoustics_config, generation);
      const codec = new EncodecModel({
        device,
        config: config.codec_config,
        weights: walkWeights(checkpoint, 'codec_model'),
        codebooks: generation.fine_acoustics_config.n_fine_codebooks,
      });
      for (const stage of [semantic, coarse, fine, codec]) {
        let told = 0;
        await stage.upload({ onTensor: () => told++ });
        assert.is(told, stage.tensors, 'onTensor is called as often as was announced');
      }
      const text = await semantic.embed([0, 129_595, 129_599]); // the last rows of the table, for a prompt
      assert.is(text.length, 3 * config.semantic_config.hidden_size);

      // Masks, the encoder, training statistics, and codebooks past the eighth. (The second names
      // of tied tables are compared with the first.)
      const unneeded =
        /\.attn\.bias$|^codec_model\.encoder\.|codebook\.(inited|cluster_size|embed_avg)$|quantizer\.layers\.(8|9|[123]\d)\./;
      const left = [...infos.keys()].filter((name) => !read.has(name));
      assert.equal(
        left.filter((name) => !unneeded.test(name)),
        [],
        'left unread',
      );
      assert.equal(
        [...read].filter((name) => unneeded.test(name)),
        [],
        'read in vain',
      );
      assert.ok(largest() <= 2 ** 27, `a buffer of ${largest()} bytes`);

      // Nothing is uploaded twice or padded to more: at most the stored values, and two more rows
      // of sums for each of a matrix's.
      for (const stage of ['semantic', 'coarse_acoustics', 'fine_acoustics']) {
        const stored = [...infos.values()]
          .filter(({ name }) => read.has(name) && name.startsWith(`${stage}.`) && !name.includes('.lm_heads.'))
          .reduce((sum, { byteLength }) => sum + byteLength, 0);
        assert.ok(
          booked.get(`${stage}.weights`)! <= stored * (dtype === 'f16' ? 0.51 : 1.01),
          `${stage}: ${booked.get(`${stage}.weights`)} of ${stored} bytes`,
        );
      }
    }
  });
}

test('every voice of suno loads, and is one by the rules of the real models', async () => {
  if (!isHere) return console.log('skipped: ../shared is not here');
  const folders = ['voices/', 'voices/v2/'].map((path) => new URL(path, shared));
  const files = folders.flatMap((folder) =>
    readdirSync(folder)
      .filter((file) => file.endsWith('.npz'))
      .map((file) => new URL(file, folder)),
  );
  assert.ok(files.length >= 10);
  for (const file of files) {
    const voice = await VoicePreset.load(file);
    for (const repository of ['bark-small', 'bark'])
      voice.validate(BarkGenerationConfig.fromJSON(json(`hub/${repository}/generation_config.json`)));
  }
});

test.run();
