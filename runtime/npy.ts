// NumPy's .npy (versions 1 to 3) and .npz as arrays of 32-bit integers, whatever integer, boolean or integral float dtype, byte
// order and memory order they were written in; and back, as numpy writes them. Python objects and structured dtypes are refused.
// Reference: numpy.lib.format; PKWARE's APPNOTE for the .npz container, which fflate reads.

import { unzipSync, zipSync } from 'fflate';
import { WeightsError } from './errors.ts';
import { float16ToFloat32 } from './half.ts';

/** Row-major (C order). */
export interface IntegerArray {
  data: Int32Array<ArrayBuffer>;
  shape: number[];
}

const MAGIC = '\x93NUMPY';
const ALIGNMENT = 64; // numpy pads the header so that the data starts on such a byte
const MAX_DIMENSIONS = 32; // numpy's own limit when the format was made
const MAX_DEFLATE_RATIO = 1032; // what deflate can reach; a header that claims more lies
const INT32_MIN = -(2 ** 31);
const INT32_MAX = 2 ** 31 - 1;

/** Reads a .npy file. Bytes after the array are ignored, as numpy does. Throws `WeightsError`; `label` is what errors call the file. */
export function parseNpy(bytes: Uint8Array, label: string): IntegerArray {
  const { descr, fortranOrder, shape, dataStart } = parseHeader(bytes, label);
  const [, order, kind, size] = /^([<>|=])([iubf])(1|2|4|8)$/.exec(descr) ?? [];
  const read = readers[`${kind}${size}`];
  if (!read) throw new WeightsError(`${label}: got dtype '${descr}', expected integers (i1 to u8), booleans or floats (f2, f4, f8). Save it with .astype('int64').`);

  const itemSize = Number(size);
  const count = shape.reduce((product, length) => product * length, 1);
  const there = Math.floor((bytes.length - dataStart) / itemSize);
  if (count > there) {
    throw new WeightsError(`${label}: got ${there} values, expected ${count} from its shape [${shape.join(', ')}]. Fetch the file again.`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset + dataStart, count * itemSize);
  const data = new Int32Array(count);
  for (let i = 0; i < count; i++) {
    const value = read(view, i * itemSize, order !== '>');
    if (!Number.isInteger(value) || value < INT32_MIN || value > INT32_MAX) {
      throw new WeightsError(`${label}: got ${value} at value ${i}, expected a whole number of at most 32 bits. Is this an array of tokens?`);
    }
    data[i] = value;
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
function parseHeader(bytes: Uint8Array, label: string): { descr: string; fortranOrder: boolean; shape: number[]; dataStart: number } {
  const damaged = (got: string) => new WeightsError(`${label}: got ${got}, expected a NumPy .npy array. Fetch the file again.`);
  const magic = String.fromCharCode(...bytes.subarray(0, MAGIC.length));
  if (magic !== MAGIC) throw damaged(bytes.length === 0 ? 'an empty file' : 'another kind of file');
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
  const descr = /['"]descr['"]\s*:\s*['"]([^'"]*)['"]/.exec(header)?.[1];
  const fortran = /['"]fortran_order['"]\s*:\s*(True|False)/.exec(header)?.[1];
  const tuple = /['"]shape['"]\s*:\s*\(([\d\sL,]*)\)/.exec(header)?.[1];
  if (descr === undefined || fortran === undefined || tuple === undefined) throw damaged('a header without descr, fortran_order and shape');
  const shape = tuple.split(',').map((length) => length.trim().replace(/L$/, '')).filter((length) => length !== '').map(Number);
  if (shape.length > MAX_DIMENSIONS || !shape.every(Number.isSafeInteger)) throw damaged(`the shape (${tuple.slice(0, 60)})`);
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
export function writeNpy({ data, shape }: { data: ArrayLike<number>; shape: readonly number[] }): Uint8Array<ArrayBuffer> {
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
 * The .npy members of a .npz file, stored or deflated, by name without the ending. Only `wanted` members are unpacked.
 * `limit` bounds what one member may unpack to, in bytes: nothing is allocated on the word of a header alone.
 */
export function parseNpz(bytes: Uint8Array, label: string, wanted: (name: string) => boolean = () => true, limit = 64 * 2 ** 20): Map<string, IntegerArray> {
  const sizes = new Map<string, number>();
  let members: Record<string, Uint8Array>;
  try {
    members = unzipSync(bytes, {
      filter: ({ name, size, originalSize, compression }) => {
        if (!name.endsWith('.npy') || !wanted(name.slice(0, -4))) return false;
        const member = `${label}/${name}`;
        if (compression !== 0 && compression !== 8) throw new WeightsError(`${member}: got zip compression ${compression}, expected stored or deflated. Save it with numpy.savez.`);
        const most = Math.min(limit, compression === 0 ? size : size * MAX_DEFLATE_RATIO);
        if (originalSize > most || size > bytes.length) throw new WeightsError(`${member}: got a size of ${originalSize} bytes, expected at most ${most}. Fetch the file again.`);
        sizes.set(name, originalSize);
        return true;
      },
    });
  } catch (cause) {
    if (cause instanceof WeightsError) throw cause;
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new WeightsError(`${label}: got bytes that are no zip archive (${reason}), expected a NumPy .npz. Fetch the file again.`, { cause });
  }
  const arrays = new Map<string, IntegerArray>();
  const sums = checksums(bytes);
  for (const [name, member] of Object.entries(members)) {
    const size = sizes.get(name);
    if (member.length !== size) throw new WeightsError(`${label}/${name}: got ${member.length} bytes, expected ${size}. Fetch the file again.`);
    const sum = sums.get(name);
    if (sum !== undefined && sum !== crc32(member)) throw new WeightsError(`${label}/${name}: got another checksum than the archive's, expected undamaged bytes. Fetch the file again.`);
    arrays.set(name.slice(0, -4), parseNpy(member, `${label}/${name}`));
  }
  return arrays;
}

/** The CRC-32 of each member, from the archive's directory: fflate does not look at them. Empty for an archive beyond 4 GiB. */
function checksums(zip: Uint8Array): Map<string, number> {
  const view = new DataView(zip.buffer, zip.byteOffset, zip.length);
  const sums = new Map<string, number>();
  let end = zip.length - 22;
  while (end >= 0 && view.getUint32(end, true) !== 0x06054b50) end--;
  if (end < 0) return sums;
  const entry = { bytes: 46, signature: 0x02014b50 };
  for (let at = view.getUint32(end + 16, true); at + entry.bytes <= end && view.getUint32(at, true) === entry.signature; ) {
    const nameEnd = at + entry.bytes + view.getUint16(at + 28, true);
    sums.set(new TextDecoder().decode(zip.subarray(at + entry.bytes, nameEnd)), view.getUint32(at + 16, true));
    at = nameEnd + view.getUint16(at + 30, true) + view.getUint16(at + 32, true);
  }
  return sums;
}

function crc32(bytes: Uint8Array): number {
  let crc = -1;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc >>> 0;
}

/** A .npz file with one stored .npy member for each array. */
export function writeNpz(arrays: Readonly<Record<string, { data: ArrayLike<number>; shape: readonly number[] }>>): Uint8Array<ArrayBuffer> {
  const members = Object.fromEntries(Object.entries(arrays).map(([name, array]) => [`${name}.npy`, writeNpy(array)]));
  // A fixed date (numpy's own), so that the same arrays make the same file.
  return zipSync(members, { level: 0, mtime: new Date(1980, 0, 1) }) as Uint8Array<ArrayBuffer>;
}
