// PyTorch files that torch wrote (test/fixtures/torch), and readers that are watched.

import * as assert from 'uvu/assert';
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { inflateSync } from 'node:zlib';
import { blobBytes } from '../../../../runtime/files/bytes.ts';
import { WeightsError } from '../../../../runtime/base/errors.ts';
import type { ByteSource } from '../../../../runtime/files/model_source.ts';

export const fixtures = join(dirname(fileURLToPath(import.meta.url)), '../../../fixtures/torch');

export const json = async (name: string) => JSON.parse(await readFile(join(fixtures, name), 'utf8'));

export const expected = (await json('expected.json')) as Record<
  string,
  Record<string, { dtype: string; shape: number[]; hex: string }>
>;

export const attacks = (await json('attacks.json')) as { files: Record<string, string> };

export const decoded = (text: string) => new Uint8Array(inflateSync(Buffer.from(text, 'base64')));

export const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

/** Bytes as a file. */
export const fileOf = (bytes: Uint8Array, label: string) =>
  blobBytes(new Blob([bytes as Uint8Array<ArrayBuffer>]), label);

export const thrown = async (promise: Promise<unknown>): Promise<Error> => {
  const error = await promise.then(
    () => undefined,
    (error: Error) => error,
  );
  assert.instance(error, WeightsError);
  return error!;
};

/** A file that notes what is read of it, and whether it was closed. */
export async function watched(name: string): Promise<ByteSource & { ranges: [number, number][]; closed: number }> {
  const file = fileOf(new Uint8Array(await readFile(join(fixtures, name))), name);
  const seen = { ranges: [] as [number, number][], closed: 0 };
  return Object.assign(seen, {
    label: name,
    size: file.size,
    read(start: number, end: number) {
      seen.ranges.push([start, end]);
      return file.read(start, end);
    },
    async close() {
      seen.closed++;
    },
  });
}
