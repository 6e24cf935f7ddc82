// What a file holds, by a second, slow and simple reading of it: what a reader under test gave is
// held against this. Only for files that the reader took; what it refuses is not looked at. Shares
// no code with the library.

import type { Checkpoint } from '../../runtime/formats/checkpoint.ts';
import type { IntegerArray } from '../../runtime/formats/npy.ts';

const ITEM_BYTES: Readonly<Record<string, number>> = {
  BOOL: 1,
  I8: 1,
  U8: 1,
  I16: 2,
  U16: 2,
  F16: 2,
  BF16: 2,
  I32: 4,
  U32: 4,
  F32: 4,
  I64: 8,
  U64: 8,
  F64: 8,
};
const PIECE = 32 * 1024;

const same = (a: ArrayLike<number>, b: ArrayLike<number>) =>
  a.length === b.length && Array.prototype.every.call(a, (value, i) => value === b[i]);

/**
 * What is wrong with a checkpoint, whatever its format: every tensor described soundly and read in
 * pieces; undefined where nothing is.
 */
export async function checkpointFault(checkpoint: Checkpoint, fileSize: number): Promise<string | undefined> {
  let budget = 256 * 1024 + fileSize;
  for (const name of checkpoint.names()) {
    const { dtype, shape, byteLength } = checkpoint.info(name);
    const expected = shape.reduce((product, length) => product * length, ITEM_BYTES[dtype] ?? NaN);
    if (
      !checkpoint.has(name) ||
      checkpoint.info(name).name !== name ||
      byteLength !== expected ||
      !shape.every((length) => Number.isSafeInteger(length) && length >= 0)
    ) {
      return `${JSON.stringify(name)} is ${dtype} [${shape.join(', ')}] of ${byteLength} bytes`;
    }
    const whole = byteLength <= PIECE ? await checkpoint.read(name) : undefined;
    if (whole && whole.length !== byteLength)
      return `${JSON.stringify(name)} gave ${whole.length} of ${byteLength} bytes`;
    for (let at = 0; at < byteLength && budget > 0; budget -= PIECE) {
      // The beginning and the end of what is large, all of what is not.
      const end = Math.min(byteLength, at + (whole ? Math.max(1, Math.ceil(byteLength / 3)) : PIECE));
      const piece = await checkpoint.read(name, at, end);
      if (piece.length !== end - at) return `${JSON.stringify(name)} gave ${piece.length} bytes for [${at}, ${end})`;
      if (whole && !same(piece, whole.subarray(at, end)))
        return `${JSON.stringify(name)} has other bytes at [${at}, ${end}) than when read whole`;
      at = !whole && end < byteLength && at === 0 ? Math.max(end, byteLength - PIECE) : end;
    }
  }
  return undefined;
}

/**
 * What is wrong with a safetensors file that was taken: a header that says something else, holes,
 * overlaps, other bytes.
 */
export async function safetensorsFault(bytes: Uint8Array, checkpoint: Checkpoint): Promise<string | undefined> {
  const dataStart = 8 + Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
  const header = JSON.parse(
    new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes.subarray(8, dataStart)),
  ) as Record<string, { dtype: string; shape: number[]; data_offsets: [number, number] }>;
  const names = Object.keys(header).filter((name) => name !== '__metadata__');
  if (names.length !== checkpoint.names().length) return `${checkpoint.names().length} of ${names.length} tensors`;
  let covered = 0;
  for (const name of names) {
    const { dtype, shape, data_offsets: [begin, end] } = header[name]!; // prettier-ignore
    const info = checkpoint.info(name);
    if (info.dtype !== dtype || !same(info.shape, shape) || info.byteLength !== end - begin)
      return `${JSON.stringify(name)} is ${info.dtype} [${info.shape.join(', ')}], the header says otherwise`;
    if (!same(await checkpoint.read(name), bytes.subarray(dataStart + begin, dataStart + end)))
      return `${JSON.stringify(name)} has other bytes than the file`;
    covered += end - begin;
  }
  return covered === bytes.length - dataStart
    ? undefined
    : `tensors of ${covered} bytes in ${bytes.length - dataStart} bytes of data`;
}

/** What is wrong with an array from a .npy file that was taken. */
export function npyFault(bytes: Uint8Array, { data, shape }: IntegerArray): string | undefined {
  const count = shape.reduce((product, length) => product * length, 1);
  if (count !== data.length) return `${data.length} values for shape [${shape.join(', ')}]`;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const dataStart = bytes[6] === 1 ? 10 + view.getUint16(8, true) : 12 + view.getUint32(8, true);
  const header = new TextDecoder().decode(bytes.subarray(bytes[6] === 1 ? 10 : 12, dataStart));
  const [, big, kind, digit] = /descr['"]\s*:\s*['"]([<>|=])([iubf])([1248])['"]/.exec(header) ?? [];
  const size = Number(digit);
  const fortran = /fortran_order['"]\s*:\s*True/.test(header);
  for (let i = 0; i < count; i++) {
    let at = i;
    if (fortran) {
      // Row-major place i, as indices, as the place where the first index runs fastest.
      let rest = i;
      const index = shape.map((_, axis) => {
        const below = shape.slice(axis + 1).reduce((product, length) => product * length, 1);
        const here = Math.floor(rest / below);
        rest -= here * below;
        return here;
      });
      at = index.reduceRight((sum, here, axis) => sum * shape[axis]! + here, 0);
    }
    const item = bytes.slice(dataStart + at * size, dataStart + (at + 1) * size);
    if (big === '>') item.reverse();
    const value =
      kind === 'f'
        ? floatOf(item)
        : kind === 'b'
          ? Number(item[0] !== 0)
          : Number(
              (kind === 'u' ? BigInt.asUintN : BigInt.asIntN)(
                8 * size,
                item.reduceRight((sum, byte) => sum * 256n + BigInt(byte), 0n),
              ),
            );
    if (value !== data[i]) return `${data[i]} at value ${i}, where the file has ${value}`;
  }
  return undefined;
}

function floatOf(item: Uint8Array): number {
  const view = new DataView(item.buffer, item.byteOffset, item.length);
  if (item.length === 8) return view.getFloat64(0, true);
  if (item.length === 4) return view.getFloat32(0, true);
  const half = view.getUint16(0, true);
  const [exponent, mantissa] = [(half >> 10) & 31, half & 1023];
  const size =
    exponent === 31
      ? mantissa
        ? NaN
        : Infinity
      : exponent === 0
        ? mantissa * 2 ** -24
        : (1024 + mantissa) * 2 ** (exponent - 25);
  return half & 0x8000 ? -size : size;
}

/** An array as text, to find it again among others. */
export const fingerprint = ({ data, shape }: IntegerArray): string => `${shape.join(',')}:${data.join(',')}`;
