// The weights of a model folder, whatever format they are in: the one table of formats.

import type { Checkpoint, ModelSource, OpenOptions } from './checkpoint.ts';
import { WeightsError } from './errors.ts';
import { readJson } from './read.ts';
import { openSafetensors, openShardedSafetensors } from './safetensors.ts';

/** Formats by the file that gives them away, the preferred one first. A new format is a line here. */
const formats: readonly { file: string; open(source: ModelSource, file: string, options?: OpenOptions): Promise<Checkpoint> }[] = [
  { file: 'model.safetensors', open: async (source, file, options) => openSafetensors(await source.open(file, options)) },
  { file: 'model.safetensors.index.json', open: async (source, file, options) => openShardedSafetensors(source, await readJson(source, file, options), file, options) },
];

/** Opens the weights of a model folder. Throws `WeightsError` when there are none that are read here. */
export async function openCheckpoint(source: ModelSource, options?: OpenOptions): Promise<Checkpoint> {
  for (const { file, open } of formats) if (await source.has(file, options)) return open(source, file, options);
  const needed = formats.map(({ file }) => file).join(' or ');
  throw new WeightsError(`${source.label}: got no weights, expected ${needed}. Is this the folder of a model?`);
}
