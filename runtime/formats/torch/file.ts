// PyTorch's files, as torch.save writes them: zip archives, and the plain pickles of before 1.6.
// Opening reads the pickle that names the tensors, and nothing of the tensors; those are read in
// place, by ranges, wherever their bytes lie.
// No code in a file is run: what pickle.ts does not know is refused. Tensors are not held against
// the archive's CRC-32, as that would mean reading each of them whole; the pickle is. TorchScript's
// code and the tar files of before 0.1.10 are not read.
// Reference: torch/serialization.py (`_save`, `_legacy_save`),
// caffe2/serialize/inline_container.cc.
import { itemBytes, tensorRange, type Checkpoint, type TensorInfo } from '../checkpoint.ts';
import { WeightsError } from '../../base/errors.ts';
import { missingTensor, shown } from '../../base/messages.ts';
import { foreignFile, kindOf } from '../../files/file_kind.ts';
import { isTensor, type TorchContents, type TorchTensor } from './globals.ts';
import { openLegacyTorch } from './legacy.ts';
import { elementCount, gather, isContiguous, reach } from './strides.ts';
import { openTorchZip } from './archive.ts';
import type { ByteSource } from '../../files/model_source.ts';
import type { PickleValue } from '../pickle/values.ts';

export interface TorchFile {
  readonly label: string;
  /**
   * What was saved: a dict is a Map, a list or tuple an array, an int a number (beyond 2^53 a
   * bigint), a tensor a `TorchTensor`.
   */
  readonly root: PickleValue;
  /**
   * The tensors of a dict by their names; whatever else it holds is left out. Closing it closes the
   * file. Throws `WeightsError`
   * for what is no dict, and for a tensor that goes beyond its storage.
   */
  checkpoint(stateDict: PickleValue): Checkpoint;
  close(): Promise<void>;
}

const EXPANDED = 64 * 2 ** 20; // a tensor whose elements share bytes may claim as much as the file has, or this

/**
 * Opens a file that torch.save wrote and owns it from then on. Throws `WeightsError` that says what
 * else the file is.
 */
export async function openTorchFile(bytes: ByteSource): Promise<TorchFile> {
  const { label } = bytes;
  try {
    const kind = await kindOf(bytes);
    if (kind && kind !== 'zip')
      throw new WeightsError(`${label}: got ${kind === 'tar' ? TAR : foreignFile(kind, EXPECTED)}`);
    const contents = await (kind === 'zip' ? openTorchZip(bytes) : openLegacyTorch(bytes));
    return {
      label,
      root: contents.root,
      checkpoint: (stateDict) => checkpointOf(bytes, contents, stateDict),
      close: () => bytes.close(),
    };
  } catch (error) {
    await bytes.close();
    throw error;
  }
}

/** The tensors of a file that holds a state dict, or a dict with one under "state_dict". */
export async function openTorchCheckpoint(bytes: ByteSource): Promise<Checkpoint> {
  const file = await openTorchFile(bytes);
  try {
    const inner = file.root instanceof Map ? file.root.get('state_dict') : undefined;
    return file.checkpoint(inner instanceof Map ? inner : file.root);
  } catch (error) {
    await file.close();
    throw error;
  }
}

function checkpointOf(bytes: ByteSource, contents: TorchContents, stateDict: PickleValue): Checkpoint {
  const { label } = bytes;
  if (!(stateDict instanceof Map))
    throw new WeightsError(
      `${label}: got ${nameOf(stateDict)}, expected a dict of tensors. Is this a checkpoint of weights?`,
    );
  const entries = new Map<string, { info: TensorInfo; tensor: TorchTensor }>();
  for (const [name, tensor] of stateDict) {
    if (typeof name !== 'string' || !isTensor(tensor)) continue;
    entries.set(name, { info: infoOf(bytes, contents, name, tensor), tensor });
  }
  const entry = (name: string) => {
    const found = entries.get(name);
    if (!found) throw missingTensor(label, [name], [...entries.keys()]);
    return found;
  };
  return {
    label,
    names: () => [...entries.keys()],
    has: (name) => entries.has(name),
    info: (name) => entry(name).info,
    async read(name, start, end, into) {
      const { info, tensor } = entry(name);
      const [from, to] = tensorRange(label, info, start, end);
      if (from === to) return new Uint8Array(0);
      const begin = tensor.offset * itemBytes[tensor.dtype];
      if (isContiguous(tensor)) return contents.read(tensor.storage, begin + from, begin + to, into);
      return gather(tensor, from, to, (first, last) => contents.read(tensor.storage, first, last));
    },
    close: () => bytes.close(),
  };
}

function infoOf(bytes: ByteSource, contents: TorchContents, name: string, tensor: TorchTensor): TensorInfo {
  const { dtype, shape, stride, offset, storage } = tensor;
  const size = contents.sizeOf(storage);
  const needed = reach(tensor) * itemBytes[dtype];
  const byteLength = elementCount(shape) * itemBytes[dtype];
  const most = Math.max(bytes.size, EXPANDED);
  if (!(needed <= size && byteLength <= most)) {
    const extent = needed <= size ? `${byteLength} bytes` : `bytes up to ${needed}`;
    throw new WeightsError(
      `${bytes.label}: got ${extent} for ${shown(name)} of shape [${shape.join(', ')}], expected at most ${needed <= size ? most : `the ${size} of its storage`}. The file is damaged; fetch it again.`,
    );
  }
  return {
    name,
    dtype,
    shape,
    byteLength,
    identity: `${storage.key}:${dtype}:${offset}:${shape.join(',')}:${stride.join(',')}`,
  };
}

const EXPECTED = 'one that torch.save wrote';
const TAR =
  'a tar archive, as PyTorch before 0.1.10 wrote them, expected a newer file. Load it with torch.load and save it with torch.save.';

function nameOf(value: PickleValue): string {
  if (isTensor(value)) return 'a single tensor';
  if (Array.isArray(value)) return 'a list';
  return value === null ? 'None' : typeof value === 'object' ? 'no dict' : `a ${typeof value}`;
}
