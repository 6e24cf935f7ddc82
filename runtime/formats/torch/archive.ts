// PyTorch's zip files: `<root>/data.pkl` names the tensors, `<root>/data/<key>` are their storages,
// little-endian.
// Archives that something deflated later are read too, one inflated storage in memory at a time.
// Reference: torch/serialization.py (`_save`, `_load`), caffe2/serialize/inline_container.h
// (versions).

import { readUsing } from '../../files/bytes.ts';
import { WeightsError } from '../../base/errors.ts';
import { MAX_PICKLE, unpickle } from '../pickle/pickle.ts';
import { refusedTorchName, storageOf, torchGlobals, type TorchContents, type TorchStorage } from './globals.ts';
import { openZip } from '../zip.ts';
import type { ByteSource } from '../../files/model_source.ts';

const MAX_INFLATED = 2 ** 30;
const MAX_VERSION = 10;

export async function openTorchZip(bytes: ByteSource): Promise<TorchContents> {
  const { label } = bytes;
  const zip = await openZip(bytes);
  const pickles = [...zip.members.keys()].filter((name) => /^[^/]*\/data\.pkl$/.test(name));
  if (pickles.length !== 1) {
    throw new WeightsError(
      `${label}: got a zip archive with ${pickles.length} files data.pkl, expected one, as torch.save writes. Is this a file of weights?`,
    );
  }
  const root = pickles[0]!.slice(0, -'data.pkl'.length);
  if (zip.members.has(`${root}constants.pkl`)) {
    throw new WeightsError(
      `${label}: got a TorchScript archive, expected a state dict. Load it with torch.jit.load and save its state_dict() with torch.save.`,
    );
  }
  const note = async (name: string) =>
    zip.members.has(root + name) ? new TextDecoder().decode(await zip.bytes(root + name, 64)).trim() : undefined;
  const order = await note('byteorder');
  if (order !== undefined && order !== 'little')
    throw new WeightsError(
      `${label}: got byte order ${JSON.stringify(order)}, expected "little". Load and save it with PyTorch on this machine.`,
    );
  const version = await note('version');
  if (version !== undefined && !(Number(version) >= 1 && Number(version) <= MAX_VERSION)) {
    throw new WeightsError(
      `${label}: got format version ${JSON.stringify(version)}, expected 1 to ${MAX_VERSION}. Save it with an older PyTorch.`,
    );
  }

  const nameOf = ({ key }: TorchStorage) => `${root}data/${key}`;
  const starts = new Map<string, Promise<number>>();
  let inflated: { name: string; whole: Promise<Uint8Array<ArrayBuffer>> } | undefined;
  const { value } = unpickle(await zip.bytes(pickles[0]!, MAX_PICKLE), {
    label,
    globals: torchGlobals,
    refused: refusedTorchName,
    persistent: storageOf,
  });
  return {
    root: value,
    sizeOf(storage) {
      const size = zip.members.get(nameOf(storage))?.size;
      if (size !== storage.size) {
        const got = size === undefined ? 'no' : `${size} bytes as`;
        throw new WeightsError(
          `${label}: got ${got} storage ${JSON.stringify(storage.key)}, expected one of ${storage.size} bytes. The file is damaged; fetch it again.`,
        );
      }
      return size;
    },
    async read(storage, start, end, into) {
      const name = nameOf(storage);
      if (zip.members.get(name)?.stored === false) {
        if (inflated?.name !== name) {
          inflated = { name, whole: zip.bytes(name, MAX_INFLATED) };
          inflated.whole.catch(() => (inflated = undefined)); // so that a read that failed can be tried again
        }
        return (await inflated.whole).slice(start, end);
      }
      let from = starts.get(name);
      if (!from) {
        from = zip.start(name);
        from.catch(() => starts.delete(name));
        starts.set(name, from);
      }
      const begin = await from;
      return readUsing(bytes, begin + start, begin + end, into);
    },
  };
}
