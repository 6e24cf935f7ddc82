// NumPy's .npy (versions 1 to 3) and .npz as arrays of 32-bit integers, whatever integer, boolean
// or integral float dtype, byte order and memory order they were written in; and back, as numpy
// writes them. Python objects and structured dtypes are refused. Reference: numpy.lib.format; a
// .npz is a zip archive, which zip.ts reads.

import { blobBytes } from '../files/bytes.ts';
import { fileKind, foreignFile } from '../files/file_kind.ts';
import { WeightsError } from '../base/errors.ts';
import { float16ToFloat32 } from '../base/half.ts';
import { openZip, writeZip } from './zip.ts';

/** Row-major (C order). */
export interface IntegerArray {
  data: Int32Array<ArrayBuffer>;
  shape: number[];
}

const MAGIC = '\x93NUMPY';
const ALIGNMENT = 64; // numpy pads the header so that the data starts on such a byte
const MAX_DIMENSIONS = 32; // numpy's own limit when the format was made
const HALF_EXACT = 2048; // float16 has each whole number up to here
const INT32_MIN = -(2 ** 31);
const INT32_MAX = 2 ** 31 - 1;

/**
 * Reads a .npy file. Bytes after the array are ignored, as numpy does. Throws `WeightsError`;
 * `label` is what errors call the file.
 */
export function parseNpy(bytes: Uint8Array, label: string): IntegerArray {
  const { descr, fortranOrder, shape, dataStart } = parseHeader(bytes, label);
  const [, order, kind, size] = /^([<>|=])([iubf])(1|2|4|8)$/.exec(descr) ?? [];
  const read = readers[`${kind}${size}`];
  if (!read)
    throw new WeightsError(
      `${label}: got dtype '${descr}', expected integers (i1 to u8), booleans or floats (f2, f4, f8). Save it with .astype('int64').`,
    );

  const itemSize = Number(size);
  const count = shape.reduce((product, length) => product * length, 1);
  const there = Math.floor((bytes.length - dataStart) / itemSize);
  if (count > there) {
    throw new WeightsError(
      `${label}: got ${there} values, expected ${count} from its shape [${shape.join(', ')}]. Fetch the file again.`,
    );
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset + dataStart, count * itemSize);
  const data = new Int32Array(count);
  for (let i = 0; i < count; i++) {
    const value = read(view, i * itemSize, order !== '>');
    if (!Number.isInteger(value) || value < INT32_MIN || value > INT32_MAX) {
      throw new WeightsError(
        `${label}: got ${value} at value ${i}, expected a whole number of at most 32 bits. Is this an array of tokens?`,
      );
    }
    data[i] = value;
    if (kind === 'f' && size === '2' && Math.abs(value) > HALF_EXACT) {
      throw new WeightsError(
        `${label}: got ${value} at value ${i} as a float16, expected integers: float16 rounds those above ${HALF_EXACT}. Save what it was made of with .astype('int64').`,
      );
    }
  }
  return { data: fortranOrder ? rowMajor(data, shape) : data, shape };
}

const readers: Record<string, (view: DataView, at: number, little: boolean) => number> = {
  b1: (view, at) => (view.getUint8(at) === 0 ? 0 : 1),
  i1: (view, at) => view.getInt8(at),
  u1: (view, at) => view.getUint8(at),
  i2: (view, at, little) => view.getInt16(at, little),
  u2: (view, at, little) => view.getUint16(at, little),
  i4: (view, at, little) => view.getInt32(at, little),
  u4: (view, at, little) => view.getUint32(at, little),
  i8: (view, at, little) => Number(view.getBigInt64(at, little)),
  u8: (view, at, little) => Number(view.getBigUint64(at, little)),
  f2: (view, at, little) => float16ToFloat32(Uint16Array.of(view.getUint16(at, little)))[0]!,
  f4: (view, at, little) => view.getFloat32(at, little),
  f8: (view, at, little) => view.getFloat64(at, little),
};

// The header is a Python dict literal with three known keys.
function parseHeader(
  bytes: Uint8Array,
  label: string,
): { descr: string; fortranOrder: boolean; shape: number[]; dataStart: number } {
  const damaged = (got: string) =>
    new WeightsError(`${label}: got ${got}, expected a NumPy .npy array. Fetch the file again.`);
  const magic = String.fromCharCode(...bytes.subarray(0, MAGIC.length));
  const kind = fileKind(bytes);
  if (kind && kind !== 'npy') throw new WeightsError(`${label}: got ${foreignFile(kind, 'a NumPy .npy array')}`);
  if (magic !== MAGIC) throw damaged('another kind of file');
  const version = bytes[6];
  if (version !== 1 && version !== 2 && version !== 3) throw damaged(`format version ${version}`);
  const lengthBytes = version === 1 ? 2 : 4;
  const headerStart = 8 + lengthBytes;
  if (bytes.length < headerStart) throw damaged(`${bytes.length} bytes`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const headerLength = lengthBytes === 2 ? view.getUint16(8, true) : view.getUint32(8, true);
  const dataStart = headerStart + headerLength;
  if (dataStart > bytes.length) throw damaged(`a header of ${headerLength} bytes in a file of ${bytes.length}`);
  if (headerLength > 2 ** 16) throw damaged(`a header of ${headerLength} bytes`);

  const header = new TextDecoder().decode(bytes.subarray(headerStart, dataStart));
  if (/'descr'\s*:\s*\[/.test(header)) throw damaged('a structured dtype');
  const keys = [...header.matchAll(/['"](descr|fortran_order|shape)['"]\s*:/g)].map(([, key]) => key);
  if (new Set(keys).size !== keys.length) throw damaged('a header with a key twice');
  const descr = /['"]descr['"]\s*:\s*['"]([^'"]*)['"]/.exec(header)?.[1];
  const fortran = /['"]fortran_order['"]\s*:\s*(True|False)/.exec(header)?.[1];
  const tuple = /['"]shape['"]\s*:\s*\(([\d\sL,]*)\)/.exec(header)?.[1];
  if (descr === undefined || fortran === undefined || tuple === undefined)
    throw damaged('a header without descr, fortran_order and shape');
  const shape = tuple
    .split(',')
    .map((length) => length.trim().replace(/L$/, ''))
    .filter((length) => length !== '')
    .map(Number);
  if (shape.length > MAX_DIMENSIONS || !shape.every(Number.isSafeInteger))
    throw damaged(`the shape (${tuple.slice(0, 60)})`);
  return { descr, fortranOrder: fortran === 'True', shape, dataStart };
}

/** Values in Fortran order (first index fastest) → C order (last index fastest). */
function rowMajor(values: Int32Array<ArrayBuffer>, shape: readonly number[]): Int32Array<ArrayBuffer> {
  if (shape.length < 2) return values;
  const out = new Int32Array(values.length);
  const strides = shape.map((_, axis) => shape.slice(0, axis).reduce((product, length) => product * length, 1));
  const index = shape.map(() => 0);
  for (let i = 0, from = 0; i < out.length; i++) {
    out[i] = values[from]!;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      from += strides[axis]!;
      if (++index[axis]! < shape[axis]!) break;
      from -= strides[axis]! * shape[axis]!;
      index[axis] = 0;
    }
  }
  return out;
}

/** A .npy file of int64 in C order, version 1. */
export function writeNpy({
  data,
  shape,
}: {
  data: ArrayLike<number>;
  shape: readonly number[];
}): Uint8Array<ArrayBuffer> {
  const tuple = shape.length === 1 ? `${shape[0]},` : shape.join(', ');
  const dict = `{'descr': '<i8', 'fortran_order': False, 'shape': (${tuple}), }`;
  const prefix = MAGIC.length + 2 + 2;
  const dataStart = Math.ceil((prefix + dict.length + 1) / ALIGNMENT) * ALIGNMENT;
  const bytes = new Uint8Array(dataStart + data.length * 8);
  const head = `${MAGIC}\x01\x00`;
  for (let i = 0; i < head.length; i++) bytes[i] = head.charCodeAt(i);
  const view = new DataView(bytes.buffer);
  view.setUint16(head.length, dataStart - prefix, true);
  bytes.set(new TextEncoder().encode(`${dict.padEnd(dataStart - prefix - 1)}\n`), prefix);
  for (let i = 0; i < data.length; i++) view.setBigInt64(dataStart + i * 8, BigInt(data[i]!), true);
  return bytes;
}

/**
 * The .npy members of a .npz file, stored or deflated, by name without the ending. Only `wanted`
 * members are unpacked.
 * `limit` bounds what one member may unpack to, in bytes: nothing is allocated on the word of a
 * header alone.
 */
export async function parseNpz(
  bytes: Uint8Array,
  label: string,
  wanted: (name: string) => boolean = () => true,
  limit = 64 * 2 ** 20,
): Promise<Map<string, IntegerArray>> {
  const kind = fileKind(bytes);
  if (kind && kind !== 'zip') throw new WeightsError(`${label}: got ${foreignFile(kind, 'a .npz archive')}`);
  const zip = await openZip(blobBytes(new Blob([bytes as Uint8Array<ArrayBuffer>]), label));
  const arrays = new Map<string, IntegerArray>();
  for (const member of zip.members.keys()) {
    const name = /^(.*)\.npy$/s.exec(member)?.[1];
    if (name !== undefined && wanted(name))
      arrays.set(name, parseNpy(await zip.bytes(member, limit), `${label}/${member}`));
  }
  return arrays;
}

/** A .npz file with one stored .npy member for each array; the same arrays make the same bytes. */
export function writeNpz(
  arrays: Readonly<Record<string, { data: ArrayLike<number>; shape: readonly number[] }>>,
): Promise<Uint8Array<ArrayBuffer>> {
  return writeZip(Object.fromEntries(Object.entries(arrays).map(([name, array]) => [`${name}.npy`, writeNpy(array)])));
}
