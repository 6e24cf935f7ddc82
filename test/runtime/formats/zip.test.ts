// Zip archives: members in place and inflated, and archives that lie, which must end soon, in an
// error, without large reads. test/fixtures/torch/make_attacks.py made the attacks with Python's
// zipfile; fflate writes the sound ones here.
// Needs: no device.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { inflateSync } from 'node:zlib';
import { zipSync } from 'fflate';
import { blobBytes } from '../../../runtime/files/bytes.ts';
import { WeightsError } from '../../../runtime/base/errors.ts';
import { openZip, writeZip } from '../../../runtime/formats/zip.ts';
import type { ByteSource } from '../../../runtime/files/model_source.ts';

const test = suite('zip');
const attacks = JSON.parse(
  await readFile(join(dirname(fileURLToPath(import.meta.url)), '../../fixtures/torch/attacks.json'), 'utf8'),
) as {
  zips: Record<string, string>;
  members: Record<string, [string, number]>;
  directoryEntry: string;
};
const decoded = (text: string) => new Uint8Array(inflateSync(Buffer.from(text, 'base64')));
const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

/** Bytes as a file that counts what is read of it. */
function fileOf(bytes: Uint8Array): ByteSource & { reads: number; most: number } {
  const file = blobBytes(new Blob([bytes as Uint8Array<ArrayBuffer>]), 'a.zip');
  const count = { reads: 0, most: 0 };
  return Object.assign(count, {
    label: file.label,
    size: file.size,
    read(start: number, end: number) {
      count.reads++;
      count.most = Math.max(count.most, end - start);
      return file.read(start, end);
    },
    close: () => file.close(),
  });
}

/** The slowest takes 0.3 s; the bounds leave room for a busy machine. */
async function refused(bytes: Uint8Array, use: (file: ByteSource) => Promise<unknown>, message: RegExp): Promise<void> {
  const file = fileOf(bytes);
  const before = process.memoryUsage().rss;
  const start = performance.now();
  const error = await use(file).then(
    () => undefined,
    (error: Error) => error,
  );
  const seconds = (performance.now() - start) / 1000;
  assert.instance(error, WeightsError);
  assert.match(error!.message, /^a\.zip.*: got .*, expected/);
  assert.match(error!.message, message);
  assert.ok(seconds < 5, `${seconds} s`);
  const grown = (process.memoryUsage().rss - before) / 2 ** 20;
  assert.ok(grown < 200, `${grown} MiB`);
}

test('members are read in place where they are stored, and inflated where they are not', async () => {
  const noise = Uint8Array.from({ length: 300_001 }, (_, i) => (i * i) >> 7);
  const bytes = zipSync({
    'dir/stored': [noise, { level: 0 }],
    'dir/ü': noise,
    empty: new Uint8Array(0),
    'folder/': new Uint8Array(0),
  });
  const file = fileOf(bytes);
  const zip = await openZip(file);
  assert.equal(
    [...zip.members.values()],
    [
      { name: 'dir/stored', size: 300_001, stored: true },
      { name: 'dir/ü', size: 300_001, stored: false },
      { name: 'empty', size: 0, stored: zip.members.get('empty')!.stored },
    ],
  );
  assert.ok(file.reads <= 5, `${file.reads} reads`);
  const start = await zip.start('dir/stored');
  assert.equal(bytes.slice(start, start + 300_001), noise);
  assert.equal(await zip.bytes('dir/stored', 300_001), noise);
  assert.equal(await zip.bytes('dir/ü', 300_001), noise);
  assert.is((await zip.bytes('empty', 0)).length, 0);
  await refused(
    bytes,
    async () => zip.bytes('dir/ü', 300_000),
    /a\.zip\/dir\/ü: got a size of 300001 bytes, expected at most 300000/,
  );
  await refused(bytes, async () => zip.start('dir/ü'), /"dir\/ü" deflated, expected it stored/);
  await refused(bytes, async () => zip.bytes('nowhere', 1), /without "nowhere"/);
});

test('an archive of nothing', async () => {
  assert.is((await openZip(fileOf(zipSync({})))).members.size, 0);
});

test('what is written is read back', async () => {
  const bytes = await writeZip({ 'a.npy': Uint8Array.of(1, 2, 3), b: new Uint8Array(0) });
  const zip = await openZip(fileOf(bytes));
  assert.equal(
    [...zip.members.values()].map(({ name, size, stored }) => [name, size, stored]),
    [
      ['a.npy', 3, true],
      ['b', 0, true],
    ],
  );
  assert.equal(await zip.bytes('a.npy', 3), Uint8Array.of(1, 2, 3));
  assert.equal(await writeZip({ 'a.npy': Uint8Array.of(1, 2, 3), b: new Uint8Array(0) }), bytes);
});

const reasons: Record<string, RegExp> = {
  'two members of one name': /got "a" twice, expected each name once/,
  'members at the same place': /members must not overlap/,
  'members that overlap by a byte': /members must not overlap/,
  'a member of 4 GiB': /"a" of 4294967280 bytes at byte 0/,
  'a stored member of another size': /"a" stored in 12 bytes, expected its size of 5/,
  'an encrypted member': /got "a" encrypted/,
  'an unknown compression': /"a" with zip compression 12/,
  'an archive in parts': /Split zip file/,
  'a directory that begins beyond the end': /readers may differ about \((prepended|mismatched)/,
  'bytes before its start': /readers may differ about \(prepended/,
  'a directory of 2 GiB': /a zip directory of \d+ bytes, expected at most|no zip archive/,
  'a ZIP64 directory of 2^60 bytes': /a zip directory of 1152921504606846976 bytes, expected at most|no zip archive/,
};
for (const [name, coded] of Object.entries(attacks.zips)) {
  test(`refused: ${name}`, () => refused(decoded(coded), (file) => openZip(file), reasons[name] ?? /expected/));
}
const memberReasons: Record<string, RegExp> = {
  'a bomb': /got a size of 1000000 bytes, expected at most 500000/,
  'a bomb that says it is small': /got a member that is not read \(Invalid uncompressed size\)/,
  'a size beyond what deflate can reach': /got a size of 2147483648 bytes, expected at most \d{6,7}\./,
  'a checksum that is wrong': /got a member that is not read \(Invalid CRC32\)/,
};
for (const [name, [coded, limit]] of Object.entries(attacks.members)) {
  test(`refused once it is read: ${name}`, async () => {
    const use = async (file: ByteSource) => {
      const zip = await openZip(file);
      if (name.startsWith('a local header')) await zip.start('a');
      return zip.bytes('a', limit);
    };
    await refused(decoded(coded), use, memberReasons[name] ?? /expected/);
  });
}

/** An archive's end whose directory holds this entry so many times, said to begin at `offset`. */
function directoryOf(count: number, offset: number, name = 'a'): Uint8Array {
  const entry = decoded(attacks.directoryEntry);
  entry[46] = name.charCodeAt(0);
  const bytes = new Uint8Array(64 + count * entry.length + 22);
  for (let i = 0; i < count; i++) bytes.set(entry, 64 + i * entry.length);
  const end = new DataView(bytes.buffer, bytes.length - 22);
  [0x50, 0x4b, 5, 6].forEach((byte, i) => end.setUint8(i, byte));
  end.setUint16(8, Math.min(count, 65535), true);
  end.setUint16(10, Math.min(count, 65535), true);
  end.setUint32(12, count * entry.length, true);
  end.setUint32(16, offset, true);
  return bytes;
}

test('a directory of many entries, and one that points to many places', async () => {
  await refused(directoryOf(60_000, 64), (file) => openZip(file), /got "a" twice/);
  await refused(directoryOf(60_000, 64, '/'), (file) => openZip(file), /got more than 10000 members/); // folders
  await refused(directoryOf(60_000, 10), (file) => openZip(file), /a zip directory that points to many places/);
  await refused(
    directoryOf(500_000, 64),
    (file) => openZip(file),
    /a zip directory of 23500000 bytes, expected at most 16777216/,
  );
  // Ordinary members, but more than any checkpoint has.
  const crowd = zipSync(Object.fromEntries(Array.from({ length: 10_001 }, (_, i) => [`${i}`, new Uint8Array(0)])), {
    level: 0,
  });
  await refused(crowd, (file) => openZip(file), /got more than 10000 members/);
});

test('every cut of an archive is an error', async () => {
  const bytes = zipSync({ a: new Uint8Array(50), b: Uint8Array.from({ length: 50 }, (_, i) => i) });
  for (let length = 0; length < bytes.length; length++)
    await refused(bytes.slice(0, length), (file) => openZip(file), /no zip archive|without its end/);
  assert.is(text((await (await openZip(fileOf(bytes))).bytes('b', 50)).subarray(32, 35)), ' !"');
});

test.run();
