// What a reader's result must hold whatever the bytes were: shapes that fit their data, plain
// values, no member that was not listed.

import { WeightsError } from '../../runtime/base/errors.ts';
import { parseNpz, type IntegerArray } from '../../runtime/formats/npy.ts';
import { openZip } from '../../runtime/formats/zip.ts';
import { corpusOf } from './corpus.ts';
import { fingerprint } from './oracle.ts';
import { crc32 } from './zip_code.ts';
import type { PickleValue } from '../../runtime/formats/pickle/values.ts';
import { countedSource } from './counted_source.ts';

/** All arrays of the good archives: what a checksum protects can only be one of them. */
async function goodArrays(): Promise<Set<string>> {
  const all = new Set<string>();
  for (const { bytes } of (await corpusOf('npz')).samples) {
    const arrays = await Promise.resolve()
      .then(() => parseNpz(bytes as Uint8Array<ArrayBuffer>, 'good'))
      .catch(() => new Map<string, IntegerArray>()); // some are refused
    for (const array of arrays.values()) all.add(fingerprint(array));
  }
  return all;
}

let good: Promise<Set<string>> | undefined;

export async function arraysFault(arrays: Iterable<IntegerArray>): Promise<string | undefined> {
  good ??= goodArrays();
  for (const array of arrays) {
    const count = array.shape.reduce((product, length) => product * length, 1);
    if (count !== array.data.length) return `${array.data.length} values for shape [${array.shape.join(', ')}]`;
    if (!(await good).has(fingerprint(array)))
      return `an array that no good file has, [${array.shape.join(', ')}]: damaged bytes passed`;
  }
  return undefined;
}

export async function zipTarget(bytes: Uint8Array): Promise<string | undefined> {
  const source = countedSource(bytes);
  const zip = await openZip(source);
  for (const [name, member] of zip.members) {
    const whole = await zip.bytes(name, 2 ** 20).catch((error: unknown) => {
      if (error instanceof WeightsError) return undefined;
      throw error;
    });
    if (whole && (whole.length !== member.size || crc32(whole) < 0))
      return `${JSON.stringify(name)} gave ${whole.length} of ${member.size} bytes`;
    if (!member.stored) continue;
    const start = await zip.start(name).catch((error: unknown) => {
      if (error instanceof WeightsError) return undefined;
      throw error;
    });
    if (start === undefined) continue;
    if (start + member.size > bytes.length) return `${JSON.stringify(name)} ends behind the file`;
    if (whole && crc32(bytes.subarray(start, start + member.size)) !== crc32(whole))
      return `${JSON.stringify(name)} is not where start() says`;
  }
  return undefined;
}

/** Something in a value that is not plain data; looks at each container once. */
export function valueFault(root: PickleValue): string | undefined {
  const seen = new Set<unknown>();
  const open: unknown[] = [root];
  while (open.length) {
    const value = open.pop();
    if (typeof value === 'function' || typeof value === 'symbol' || value === undefined)
      return `a ${typeof value} in what was read`;
    if (typeof value !== 'object' || value === null || value instanceof Uint8Array || seen.has(value)) continue;
    seen.add(value);
    if (value instanceof Map) for (const [key, item] of value) open.push(key, item);
    else if (Array.isArray(value) || value instanceof Set) for (const item of value) open.push(item);
    else if (typeof (value as { kind?: unknown }).kind !== 'string') return 'an object of no kind in what was read';
  }
  return undefined;
}
