// The bench's list of tensors against the models' own loaders: a loader asks for exactly the
// tensors that the inventory calls needed, in the inventory's shapes.
// Needs: no device.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { BarkConfig } from '../../../bark/config/config.ts';
import { loadFineGpt } from '../../../bark/gpt/fine_gpt.ts';
import { loadCausalGpt } from '../../../bark/gpt/gpt.ts';
import { CODEBOOKS, configs, inventory, MODELS, type BenchTensor } from '../../../bench/model/inventory.ts';
import { loadDecoder } from '../../../encodec/decoder.ts';
import { toShapes, type Destination } from '../../../kernels/upload/destination.ts';
import type { Checkpoint } from '../../../runtime/formats/checkpoint.ts';
import { walkWeights } from '../../../runtime/formats/weights.ts';

const test = suite('inventory');

/**
 * The inventory as a checkpoint of zeros; `asked` gets the name of each tensor that is looked up.
 */
function zeros(tensors: readonly BenchTensor[], asked: Set<string>): Checkpoint {
  const byName = new Map(tensors.map((tensor) => [tensor.name, tensor]));
  const byteLength = (name: string) => byName.get(name)!.shape.reduce((a, b) => a * b, 4);
  return {
    label: 'inventory',
    names: () => [...byName.keys()],
    has: (name) => byName.has(name),
    info(name) {
      asked.add(name);
      const { shape, dtype } = byName.get(name)!;
      return { name, shape, dtype, byteLength: byteLength(name) };
    },
    read: async (name, start = 0, end = byteLength(name)) => new Uint8Array(end - start),
    close: async () => {},
  };
}

test('the loaders ask for the tensors that the inventory calls needed, and for no others', async () => {
  const { tiny } = MODELS;
  const tensors = inventory(tiny);
  const config = BarkConfig.fromJSON(configs(tiny).config);
  const asked = new Set<string>();
  const weights = walkWeights(zeros(tensors, asked));
  const shapes = toShapes('f32');
  // The codec's loader looks its tensors up only when it packs them.
  const to: Destination = {
    ...shapes,
    async packed(shape, pack, label) {
      await pack();
      return shapes.packed(shape, pack, label);
    },
  };
  await loadCausalGpt(to, weights.at('semantic'), config.semantic_config);
  await loadCausalGpt(to, weights.at('coarse_acoustics'), config.coarse_acoustics_config);
  await loadFineGpt(to, weights.at('fine_acoustics'), config.fine_acoustics_config);
  await loadDecoder(to, config.codec_config, weights.at('codec_model'), CODEBOOKS);
  const needed = tensors.filter((tensor) => tensor.needed).map(({ name }) => name);
  assert.equal([...asked].sort(), needed.sort());
});

test.run();
