// The three arrays out of a .npz, and what to say of the files that are given for one: a zip around
// it, an array alone, a recording, a file of PyTorch.

import { blobBytes } from '../../runtime/files/bytes.ts';
import { fileKind, foreignFile } from '../../runtime/files/file_kind.ts';
import { WeightsError } from '../../runtime/base/errors.ts';
import { shown } from '../../runtime/base/messages.ts';
import { parseNpz, type IntegerArray } from '../../runtime/formats/npy.ts';
import { openZip } from '../../runtime/formats/zip.ts';
import { PROMPTS, type Prompt } from './prompt_arrays.ts';

/** Those of the three that there are. */
export type VoiceArrays = Readonly<Partial<Record<Prompt, IntegerArray>>>;

const EXPECTED = 'a .npz with semantic_prompt, coarse_prompt and fine_prompt';
const ADVICE = {
  npy: 'Pass the prefix that the three .npy of a voice share.',
  audio: 'A voice is tokens, not sound: make a .npz of the recording with a tool that clones voices for Bark.',
};

/**
 * Throws `WeightsError` for a file that holds none of the three. `limit` bounds what a member may
 * unpack to, in bytes.
 */
export async function readVoiceArrays(bytes: Uint8Array, label: string, limit: number): Promise<VoiceArrays> {
  const kind = fileKind(bytes);
  if (kind === 'npy' || kind === 'audio')
    throw new WeightsError(`${label}: got ${foreignFile(kind, EXPECTED, ADVICE[kind])}`);
  const arrays = await parseNpz(bytes, label, (name) => (PROMPTS as readonly string[]).includes(name), limit);
  if (arrays.size === 0) throw await withoutVoice(bytes, label);
  return Object.fromEntries(arrays);
}

async function withoutVoice(bytes: Uint8Array, label: string): Promise<WeightsError> {
  const { members } = await openZip(blobBytes(new Blob([bytes as Uint8Array<ArrayBuffer>]), label));
  const names = [...members.keys()].filter((name) => !/(?:^|\/)(?:__MACOSX\/|\.)/.test(name));
  const error = (got: string, advice: string) =>
    new WeightsError(`${label}: got ${got}, expected ${EXPECTED}. ${advice}`);
  const inner = names.find((name) => name.endsWith('.npz'));
  if (inner) return error(`a zip archive around ${shown(inner)}`, 'Unpack it, and pass the file inside.');
  if (names.some((name) => /(?:semantic|coarse|fine)_prompt\.npy$/.test(name)))
    return error(
      `a zip archive around the .npy files of a voice`,
      'Unpack it, and pass the prefix that the three share.',
    );
  if (names.some((name) => /(?:^|\/)data\.pkl$/.test(name)))
    return error('a file of PyTorch', 'Load it with torch.load, and save its arrays with np.savez.');
  const some = names
    .slice(0, 5)
    .map((name) => shown(name))
    .join(', ');
  return error(
    names.length === 0 ? 'an empty archive' : `an archive of ${some}${names.length > 5 ? ' …' : ''}`,
    'Save it again under these names: np.savez(file, semantic_prompt=…, coarse_prompt=…, fine_prompt=…).',
  );
}
