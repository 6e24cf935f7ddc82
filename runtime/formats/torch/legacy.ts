// PyTorch's files from before 1.6: five pickles (a magic number, a version, facts about the
// machine, what was saved, the keys of its storages), then each storage as its number of elements
// and its bytes. Storages that are parts of others are not read.
// Reference: torch/serialization.py (`_legacy_save`, `_legacy_load`).

import { readUsing } from '../../files/bytes.ts';
import { itemBytes } from '../checkpoint.ts';
import { WeightsError } from '../../base/errors.ts';
import { MAX_PICKLE, PickleCutError, unpickle } from '../pickle/pickle.ts';
import { refusedTorchName, storageOf, torchGlobals, type TorchContents, type TorchStorage } from './globals.ts';
import type { ByteSource } from '../../files/model_source.ts';
import type { PickleObject, PickleValue, Wrong } from '../pickle/values.ts';

const MAGIC = 0x1950a86a20f9469cfc6cn;
const VERSION = 1001;
const FIRST_READ = 64 * 2 ** 10;

export async function openLegacyTorch(bytes: ByteSource): Promise<TorchContents> {
  const { label } = bytes;
  const { root, keys, end, storages } = await readPickles(bytes);

  // Each storage begins where the one before it ends; its header is looked at when it is read.
  const starts = new Map<string, number>();
  let at = end;
  for (const key of keys) {
    const storage = typeof key === 'string' ? storages.get(key) : undefined;
    if (!storage || starts.has(storage.key))
      throw damaged(label, 'keys of storages that no tensor has', 'those of its tensors');
    starts.set(storage.key, at + 8);
    at += 8 + storage.size;
    if (at > bytes.size) throw damaged(label, `a file of ${bytes.size} bytes`, `at least ${at}, the end of a storage`);
  }
  const checked = new Map<string, Promise<void>>();
  const checkHeader = async (storage: TorchStorage, start: number) => {
    const header = await bytes.read(start - 8, start);
    const count = new DataView(header.buffer, header.byteOffset, 8).getBigInt64(0, true);
    const expected = storage.size / (storage.dtype ? itemBytes[storage.dtype] : 1);
    if (count !== BigInt(expected))
      throw damaged(label, `a storage of ${count} values at byte ${start}`, `${expected}`);
  };
  const startOf = ({ key }: TorchStorage) => {
    const start = starts.get(key);
    if (start === undefined) throw damaged(label, `no storage ${JSON.stringify(key)}`, 'one');
    return start;
  };
  return {
    root,
    sizeOf(storage) {
      startOf(storage);
      return storage.size;
    },
    async read(storage, start, end, into) {
      const begin = startOf(storage);
      let check = checked.get(storage.key);
      if (!check) {
        check = checkHeader(storage, begin);
        check.catch(() => checked.delete(storage.key)); // so that a read that failed can be tried again
        checked.set(storage.key, check);
      }
      await check;
      return readUsing(bytes, begin + start, begin + end, into);
    },
  };
}

interface Pickles {
  root: PickleValue;
  keys: PickleValue[];
  storages: Map<string, TorchStorage>;
  end: number;
}

/** Reads from the file's start, more of it each time, until the pickles are all there. */
async function readPickles(bytes: ByteSource): Promise<Pickles> {
  for (let length = FIRST_READ; ; length *= 4) {
    const head = await bytes.read(0, Math.min(length, MAX_PICKLE, bytes.size));
    try {
      return parsePickles(bytes.label, head);
    } catch (error) {
      if (!(error instanceof PickleCutError) || head.length === bytes.size) throw error;
      if (head.length === MAX_PICKLE)
        throw damaged(bytes.label, `a pickle of more than ${MAX_PICKLE} bytes`, 'one that only names tensors');
    }
  }
}

function parsePickles(label: string, head: Uint8Array): Pickles {
  const plain = new Map();
  let at = 0;
  const next = (
    options: { persistent?: (id: PickleValue, wrong: Wrong) => PickleObject } = {},
    globals: typeof torchGlobals = plain,
  ) => {
    const { value, end } = unpickle(head, { label, globals, start: at, refused: refusedTorchName, ...options });
    at = end;
    return value;
  };
  if (!beginsLikePickle(head) || next({}, torchGlobals) !== MAGIC) {
    throw new WeightsError(
      `${label}: got a file that torch.save did not write, expected one that it did. Is this a file of weights?`,
    );
  }
  const version = next();
  if (version !== VERSION)
    throw damaged(label, `format version ${typeof version === 'number' ? version : 'none'}`, `${VERSION}`);
  const facts = next();
  if (!(facts instanceof Map) || facts.get('little_endian') !== true) {
    throw new WeightsError(
      `${label}: got big-endian numbers, expected little-endian ones. Load and save it with PyTorch on this machine.`,
    );
  }
  const storages = new Map<string, TorchStorage>();
  const root = next({
    persistent(id, wrong) {
      const storage = storageOf(id, wrong);
      const known = storages.get(storage.key);
      if (known && (known.size !== storage.size || known.dtype !== storage.dtype)) throw wrong(`storage ${storage.key} in two ways`, 'one');
      storages.set(storage.key, known ?? storage);
      return known ?? storage;
    },
  }, torchGlobals); // prettier-ignore
  const keys = next();
  if (!Array.isArray(keys)) throw damaged(label, 'no list of storages', 'one');
  return { root, keys, storages, end: at };
}

/** PROTO, or the LONG with which protocols 0 and 1 begin. */
function beginsLikePickle(head: Uint8Array): boolean {
  return head[0] === 0x80 || head[0] === 0x4c || head[0] === 0x28;
}

function damaged(label: string, got: string, expected: string): WeightsError {
  return new WeightsError(`${label}: got ${got}, expected ${expected}. The file is damaged; fetch it again.`);
}
