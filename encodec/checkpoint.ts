// Opens an EnCodec 24 kHz folder: its config, and its weights under the names of HF's EncodecModel.
// Reads HF's folders, and Meta's checkpoint as torch hub stores it, alone or beside a config.json.
// Meta's tensor names are understood in every file format. Uploads nothing.
// Reference: HF convert_encodec_checkpoint_to_pytorch.py; facebookresearch/encodec model.py (the
// file's name).

import type { Checkpoint } from '../runtime/formats/checkpoint.ts';
import { renamed, unwrapped } from '../runtime/formats/views.ts';
import { WeightsError } from '../runtime/base/errors.ts';
import { findCheckpoint } from '../runtime/formats/open_checkpoint.ts';
import { readJson, whyMissing } from '../runtime/files/read.ts';
import { openTorchFile } from '../runtime/formats/torch/file.ts';
import { EncodecConfig } from './config.ts';
import type { ModelSource, OpenOptions } from '../runtime/files/model_source.ts';

/** Meta's file of the 24 kHz model; the digits in its name are the first of its own sha256. */
export const META_FILE = 'encodec_24khz-d7cc33bc.th';

/** HF's name of a tensor that Meta calls `name`; HF's own names are returned unchanged. */
export function codecName(name: string): string {
  return name
    .replace(/^(encoder|decoder)\.model\./, '$1.layers.')
    .replace(/\.(conv|convtr)\.\1\./, '.conv.')
    .replace(/^quantizer\.vq\.layers\.(\d+)\._codebook\./, 'quantizer.layers.$1.codebook.');
}

/** Whether a folder holds a codec's weights in a format that we read. */
export async function hasCodec(source: ModelSource, options?: OpenOptions): Promise<boolean> {
  return (await source.has(META_FILE, options)) || (await findCheckpoint(source, options)) !== undefined;
}

/**
 * Reads config.json; without one, the folder is taken for the 24 kHz model. Throws what
 * `EncodecConfig.fromJSON` throws.
 */
export async function readCodecConfig(source: ModelSource, options?: OpenOptions): Promise<EncodecConfig> {
  const json = (await source.has('config.json', options)) ? await readJson(source, 'config.json', options) : {};
  return EncodecConfig.fromJSON(json, `${source.label}/config.json`);
}

/** Opens a codec's weights under HF's names. Throws `WeightsError` where there are none. */
export async function openCodecCheckpoint(source: ModelSource, options?: OpenOptions): Promise<Checkpoint> {
  const open = await findCheckpoint(source, options);
  if (open) return renamed(await open(), codecName);
  if (await source.has(META_FILE, options)) return renamed(await openMetaFile(source, options), codecName);
  const none = new WeightsError(
    `${source.label}: got no codec, expected model.safetensors, pytorch_model.bin or ${META_FILE}. Is this the folder of an EnCodec?`,
  );
  throw await whyMissing(source, 'model.safetensors', none, options);
}

async function openMetaFile(source: ModelSource, options?: OpenOptions): Promise<Checkpoint> {
  const file = await openTorchFile(await source.open(META_FILE, options));
  try {
    // Meta's training code keeps the weights under this key, the released file does not.
    const best = file.root instanceof Map ? file.root.get('best_state') : undefined;
    return unwrapped(file.checkpoint(best ?? file.root));
  } catch (error) {
    await file.close();
    throw error;
  }
}
