// What PyTorch's checkpoints refer to: storages, tensors and parameters over them, dtypes, sizes
// and devices, as plain data.
// Complex, quantized, sparse and 8-bit float tensors are refused by name, and so are whole modules,
// which would need their code. Reference: torch/_utils.py (`_rebuild_tensor_v2` and its kin),
// torch/storage.py, torch/_weights_only_unpickler.py.

import { itemBytes, type StoredDType } from '../checkpoint.ts';
import { globalOf, plainGlobals } from '../pickle/globals.ts';
import {
  isGlobal,
  isObject,
  type PickleGlobal,
  type PickleObject,
  type PickleValue,
  type Wrong,
} from '../pickle/values.ts';

/** A run of values in the file that tensors are views of. */
export interface TorchStorage extends PickleObject {
  readonly kind: 'storage';
  /** What the file calls it. */
  readonly key: string;
  /** None for a storage of plain bytes. */
  readonly dtype: StoredDType | undefined;
  /** In bytes. */
  readonly size: number;
}

/**
 * A view of a storage; `offset` and `stride` count elements. Nothing of it has been held against
 * the file yet.
 */
export interface TorchTensor extends PickleObject {
  readonly kind: 'tensor';
  readonly storage: TorchStorage;
  readonly dtype: StoredDType;
  readonly offset: number;
  readonly shape: readonly number[];
  readonly stride: readonly number[];
}

/** A file in either container: its pickle, and the bytes that its storages have. */
export interface TorchContents {
  readonly root: PickleValue;
  /**
   * How many bytes a storage has in the file; throws `WeightsError` where that is not what the
   * pickle says.
   */
  sizeOf(storage: TorchStorage): number;
  read(
    storage: TorchStorage,
    start: number,
    end: number,
    into?: Uint8Array<ArrayBuffer>,
  ): Promise<Uint8Array<ArrayBuffer>>;
}

const storageTypes: Readonly<Record<string, StoredDType>> = {
  DoubleStorage: 'F64',
  FloatStorage: 'F32',
  HalfStorage: 'F16',
  BFloat16Storage: 'BF16',
  LongStorage: 'I64',
  IntStorage: 'I32',
  ShortStorage: 'I16',
  CharStorage: 'I8',
  ByteStorage: 'U8',
  BoolStorage: 'BOOL',
};

const dtypes: Readonly<Record<string, StoredDType>> = {
  float64: 'F64',
  double: 'F64',
  float32: 'F32',
  float: 'F32',
  float16: 'F16',
  half: 'F16',
  bfloat16: 'BF16',
  int64: 'I64',
  long: 'I64',
  int32: 'I32',
  int: 'I32',
  int16: 'I16',
  short: 'I16',
  int8: 'I8',
  uint8: 'U8',
  bool: 'BOOL',
  uint16: 'U16',
  uint32: 'U32',
  uint64: 'U64',
};

const MAX_DIMENSIONS = 64; // as in PyTorch

export function isTensor(value: PickleValue | undefined): value is TorchTensor {
  return value !== undefined && isObject(value) && value.kind === 'tensor';
}

function isCount(value: PickleValue | undefined): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

/**
 * What ('storage', type, key, location, numel) stands for, with a sixth member in files before the
 * zip format.
 */
export function storageOf(id: PickleValue, wrong: Wrong): TorchStorage {
  if (!Array.isArray(id) || id[0] !== 'storage') throw wrong('a persistent id that is no storage', 'a storage');
  const [, type, key, , numel, view] = id;
  if (typeof key !== 'string' || !isCount(numel)) throw wrong('a storage without its key and size', 'them');
  if (view !== undefined && view !== null)
    throw wrong('a storage that is part of another, as PyTorch before 0.4 wrote them', 'whole ones');
  const name = type !== undefined && isGlobal(type) ? type.name : '';
  const dtype = storageTypes[name.replace(/^torch\./, '')];
  if (!dtype && !/^torch\.(storage\.)?UntypedStorage$/.test(name))
    throw wrong('a storage without its type', 'one of torch');
  const size = numel * (dtype ? itemBytes[dtype] : 1);
  if (!Number.isSafeInteger(size)) throw wrong(`a storage of ${numel} values`, 'one that fits in a file');
  return { kind: 'storage', key, dtype, size };
}

/**
 * Makes a tensor of (storage, offset, size, stride, …); `notes` is the dict of what PyTorch has yet
 * to do to its values, such as negate them.
 */
function tensorOf(args: readonly PickleValue[], wrong: Wrong, notes?: PickleValue, asked?: StoredDType): TorchTensor {
  const [storage, offset, shape, stride] = args;
  if (notes instanceof Map && notes.size > 0)
    throw wrong(
      `a tensor with the note ${JSON.stringify(String([...notes.keys()][0]).slice(0, 40))}`,
      'its plain values, as tensor.resolve_neg() gives them',
    );
  if (storage === undefined || !isObject(storage) || storage.kind !== 'storage')
    throw wrong('a tensor without a storage', 'one');
  const held = storage as TorchStorage;
  const dtype = asked ?? held.dtype;
  if (!dtype) throw wrong('a tensor without a dtype', 'one');
  const sizes =
    Array.isArray(shape) && Array.isArray(stride) && shape.length === stride.length && shape.length <= MAX_DIMENSIONS;
  if (!isCount(offset) || !sizes || !shape.every(isCount) || !stride.every(isCount))
    throw wrong('a tensor whose offset, size and stride are no counts', 'them');
  return {
    kind: 'tensor',
    storage: held,
    dtype,
    offset,
    shape: [...shape] as number[],
    stride: [...stride] as number[],
  };
}

function parameter([data]: readonly PickleValue[], wrong: Wrong): TorchTensor {
  if (!isTensor(data)) throw wrong('a parameter without its tensor', 'one');
  return data;
}

/**
 * A tensor with attributes: how it is made, its class, and the arguments. What the attributes are
 * is left out.
 */
function decorated([make, type, args]: readonly PickleValue[], wrong: Wrong): PickleValue {
  const known =
    make !== undefined && isGlobal(make) && make.name.startsWith('torch._utils._rebuild_') ? make.construct : undefined;
  if (!known || !Array.isArray(args) || type === undefined || !isGlobal(type))
    throw wrong('a tensor of a class of its own', 'plain ones');
  return known(args, wrong);
}

function dtypeOf(value: PickleValue | undefined, wrong: Wrong): StoredDType {
  const dtype = value !== undefined && isGlobal(value) ? dtypes[value.name.replace(/^torch\./, '')] : undefined;
  if (!dtype) throw wrong('a tensor without a dtype', 'one of torch');
  return dtype;
}

export const torchGlobals: ReadonlyMap<string, PickleGlobal> = new Map([
  ...plainGlobals,
  ...Object.keys(storageTypes).map((type) => globalOf(`torch.${type}`)),
  ...Object.keys(dtypes).map((dtype) => globalOf(`torch.${dtype}`)),
  ...['torch.storage.UntypedStorage', 'torch.UntypedStorage'].map((name) => globalOf(name)),
  globalOf('torch._utils._rebuild_tensor', (args, wrong) => tensorOf(args, wrong)),
  globalOf('torch._utils._rebuild_tensor_v2', (args, wrong) => tensorOf(args, wrong, args[6])),
  globalOf('torch._utils._rebuild_tensor_v3', (args, wrong) => tensorOf(args, wrong, args[7], dtypeOf(args[6], wrong))),
  globalOf('torch._utils._rebuild_parameter', parameter),
  globalOf('torch._utils._rebuild_parameter_with_state', parameter),
  globalOf('torch._tensor._rebuild_from_type_v2', decorated),
  ...['torch.Tensor', 'torch.nn.parameter.Parameter', 'torch.nn.parameter.Buffer'].map((name) => globalOf(name)),
  globalOf('torch.Size', ([sizes], wrong) => {
    if (!Array.isArray(sizes)) throw wrong('a torch.Size of something that is no tuple', 'a tuple');
    return [...sizes];
  }),
  globalOf('torch.device', ([type, index]) =>
    typeof type !== 'string' ? null : typeof index === 'number' ? `${type}:${index}` : type,
  ),
  globalOf('torch.serialization._get_layout', ([layout]) => layout ?? null),
]);

/** What to do about a name of torch's that is known and not read here. */
export function refusedTorchName(name: string): string | undefined {
  if (/^torch\.(Complex|complex)/.test(name)) return 'Complex numbers are not read; save real ones.';
  if (/^torch\.(Q\w*Storage|q(u?int|uint)\w*)$|_rebuild_qtensor/.test(name))
    return 'Quantized tensors are not read; save them with tensor.dequantize().';
  if (/^torch\.(float8|Float8)/.test(name)) return '8-bit floats are not read; save them with tensor.half().';
  if (/_rebuild_sparse|torch\.sparse/.test(name))
    return 'Sparse tensors are not read; save them with tensor.to_dense().';
  if (/^torch\.nn\.|^__torch__\./.test(name))
    return 'A whole module needs its code to be read; save module.state_dict().';
  if (name === 'torch.storage._load_from_bytes')
    return 'Tensors that were pickled are not read; save them with torch.save().';
  return undefined;
}
