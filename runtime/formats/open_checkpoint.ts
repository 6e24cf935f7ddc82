// The weights of a model folder, whatever format they are in: the one table of formats.

import type { Checkpoint } from './checkpoint.ts';
import { InputError, WeightsError } from '../base/errors.ts';
import { shown } from '../base/messages.ts';
import { checkOptions } from '../base/options.ts';
import { readJson, whyMissing } from '../files/read.ts';
import { otherEngine } from './other_models.ts';
import { openSafetensors } from './safetensors.ts';
import { openSharded } from './sharded.ts';
import { openTorchCheckpoint } from './torch/file.ts';
import { unwrapped } from './views.ts';
import type { ByteSource, ModelSource, OpenOptions } from '../files/model_source.ts';

interface Format {
  file: string;
  open(source: ModelSource, file: string, options?: OpenOptions): Promise<Checkpoint>;
}

const whole = (file: string, open: (bytes: ByteSource) => Promise<Checkpoint>): Format => ({
  file,
  open: async (source, path, options) => open(await source.open(path, options)),
});
const sharded = (file: string, open: (bytes: ByteSource) => Promise<Checkpoint>): Format => ({
  file,
  open: async (source, path, options) =>
    openSharded(source, await readJson(source, path, options), path, open, options),
});

/**
 * Formats by the file that gives them away, the preferred one first. A new format is a line here.
 */
const formats: readonly Format[] = [
  whole('model.safetensors', openSafetensors),
  sharded('model.safetensors.index.json', openSafetensors),
  whole('pytorch_model.bin', openTorchCheckpoint),
  sharded('pytorch_model.bin.index.json', openTorchCheckpoint),
];

/**
 * Finds the weights of a model folder and gives what opens them; undefined where there are none
 * that are read here.
 */
export async function findCheckpoint(
  source: ModelSource,
  options?: OpenOptions,
): Promise<(() => Promise<Checkpoint>) | undefined> {
  for (const { file, open } of formats)
    if (await source.has(file, options)) return () => openUnwrapped(open(source, file, options));
  return undefined;
}

const openUnwrapped = async (opening: Promise<Checkpoint>) => unwrapped(await opening);

/**
 * Opens the weights of a model folder. Throws `WeightsError` when there are none that are read
 * here.
 */
export async function openCheckpoint(source: ModelSource, options?: OpenOptions): Promise<Checkpoint> {
  checkOptions('openCheckpoint', options, ['signal', 'onDownload']);
  if (typeof source?.open !== 'function')
    throw new InputError(
      `openCheckpoint: got ${shown(source, 'setting')}, expected an opened folder: openCheckpoint(await openModelSource(folder)).`,
    );
  const open = await findCheckpoint(source, options);
  if (open) return open();
  const needed = formats.map(({ file }) => file).join(' or ');
  const other = await otherEngine(source, options);
  const none = new WeightsError(
    `${source.label}: got ${other?.got ?? 'no weights'}, expected ${needed}. ${other?.advice ?? 'Is this the folder of a model?'}`,
  );
  throw await whyMissing(source, 'pytorch_model.bin', none, options);
}
