// A checkpoint in several files, of whatever format, and the index that says which tensor lies in
// which.
// Tensors that the index does not name stay unseen; that the shards together are whole is not
// asked.
// Reference: the `*.index.json` files of transformers (`{ "metadata": …, "weight_map": { tensor:
// file } }`).

import type { Checkpoint } from './checkpoint.ts';
import { WeightsError } from '../base/errors.ts';
import { isObject } from '../base/json.ts';
import { missingTensor, shown } from '../base/messages.ts';
import type { ByteSource, ModelSource, OpenOptions } from '../files/model_source.ts';

/**
 * Opens every shard that `index` names with `open`, which reads its header. Throws `WeightsError`
 * for a shard, or a tensor of a shard, that is not there.
 */
export async function openSharded(
  source: ModelSource,
  index: unknown,
  indexName: string,
  open: (bytes: ByteSource) => Promise<Checkpoint>,
  options?: OpenOptions,
): Promise<Checkpoint> {
  const label = `${source.label}/${indexName}`;
  const weightMap = isObject(index) ? index.weight_map : undefined;
  if (!isObject(weightMap)) throw damaged(label, 'no weight_map', 'an object of tensor names and their files');
  const shards = new Map<string, Checkpoint>();
  const home = new Map<string, Checkpoint>();
  const close = async () => void (await Promise.all([...shards.values()].map((shard) => shard.close())));
  try {
    for (const [name, file] of Object.entries(weightMap)) {
      if (typeof file !== 'string') throw damaged(label, `${shown(file)} as the file of ${shown(name)}`, 'its name');
      const shard = shards.get(file) ?? (await open(await source.open(file, options)));
      shards.set(file, shard);
      if (!shard.has(name))
        throw damaged(label, `${shown(name)} in ${shown(file)}, which has no such tensor`, 'the file it lies in');
      home.set(name, shard);
    }
  } catch (error) {
    await close();
    throw error;
  }
  const shardOf = (name: string) => {
    const shard = home.get(name);
    if (!shard) throw missingTensor(label, [name], [...home.keys()]);
    return shard;
  };
  return {
    label,
    labelOf: (name) => home.get(name)?.label ?? label,
    names: () => [...home.keys()],
    has: (name) => home.has(name),
    info: (name) => {
      const shard = shardOf(name);
      const { identity, ...info } = shard.info(name);
      // What is one tensor in one file is none in another.
      return identity === undefined ? info : { ...info, identity: `${shard.label}:${identity}` };
    },
    read: async (name, start, end, into) => shardOf(name).read(name, start, end, into),
    close,
  };
}

function damaged(label: string, got: string, expected: string): WeightsError {
  return new WeightsError(
    `${label}: got ${got}, expected ${expected}. The index and its files do not belong together; fetch them again.`,
  );
}
