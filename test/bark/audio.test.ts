// RawAudio: the WAV header byte by byte, clipping and rounding, and saving whole or not at all.
// Needs: no device.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { RawAudio } from '../../bark/audio.ts';
import { InputError } from '../../runtime/base/errors.ts';

const test = suite('audio');

const folder = mkdtempSync(join(tmpdir(), 'audio-'));
test.after(() => rmSync(folder, { recursive: true }));

const samples = (wav: Uint8Array) => [...new Int16Array(wav.slice(44).buffer)];

for (const length of [0, 1, 3, 320, 321]) {
  test(`a header for ${length} samples`, () => {
    const audio = new RawAudio(new Float32Array(length), 24_000);
    assert.is(audio.duration, length / 24_000);
    const wav = Buffer.from(audio.toWav());
    assert.is(wav.length, 44 + 2 * length);
    assert.is(wav.toString('latin1', 0, 4), 'RIFF');
    assert.is(wav.readUInt32LE(4), wav.length - 8);
    assert.is(wav.toString('latin1', 8, 16), 'WAVEfmt ');
    const fields = [
      wav.readUInt32LE(16),
      wav.readUInt16LE(20),
      wav.readUInt16LE(22),
      wav.readUInt32LE(24),
      wav.readUInt32LE(28),
      wav.readUInt16LE(32),
      wav.readUInt16LE(34),
    ];
    assert.equal(fields, [16, 1, 1, 24_000, 48_000, 2, 16]);
    assert.is(wav.toString('latin1', 36, 40), 'data');
    assert.is(wav.readUInt32LE(40), 2 * length);
  });
}

test('samples are clipped and rounded; what is no number is silence', () => {
  const audio = new RawAudio(
    Float32Array.of(0, 1, -1, 7, -7, 0.5, 1.4 / 32767, 1.6 / 32767, -1.6 / 32767, NaN, Infinity, -Infinity),
    24_000,
  );
  assert.equal(samples(audio.toWav()), [0, 32767, -32767, 32767, -32767, 16384, 1, 2, -2, 0, 32767, -32767]);
});

test('a part of a larger array is only that part', () => {
  const audio = new RawAudio(Float32Array.of(1, 1, 0, -1, 1).subarray(2, 4), 8000);
  assert.equal(samples(audio.toWav()), [0, -32767]);
});

test('a Blob of the same bytes', async () => {
  const audio = new RawAudio(Float32Array.of(0.25, -0.25), 24_000);
  const blob = audio.toBlob();
  assert.is(blob.type, 'audio/wav');
  assert.equal(new Uint8Array(await blob.arrayBuffer()), audio.toWav());
});

test('a sampling rate must be one', () => {
  for (const rate of [0, -1, 1.5, NaN, '24000' as unknown as number])
    assert.throws(
      () => new RawAudio(new Float32Array(1), rate),
      (error: Error) => error instanceof InputError,
    );
});

test('save: new, over an old file, through a link, to a URL; nothing else is left behind', async () => {
  const audio = new RawAudio(Float32Array.of(0.5), 24_000);
  const path = join(folder, 'a b.wav');
  writeFileSync(path, 'an old and longer file'.repeat(10));
  symlinkSync(path, join(folder, 'link.wav'));
  for (const target of [path, join(folder, 'new.wav'), join(folder, 'link.wav'), pathToFileURL(join(folder, 'ü.wav'))])
    await audio.save(target);
  assert.equal(readdirSync(folder).sort(), ['a b.wav', 'link.wav', 'new.wav', 'ü.wav']);
  for (const name of readdirSync(folder))
    assert.equal(new Uint8Array(readFileSync(join(folder, name))), audio.toWav(), name);
});

test('save: what cannot be written says so', async () => {
  const audio = new RawAudio(Float32Array.of(0.5), 24_000);
  const fails = async (path: string, message: RegExp) => {
    const error = await audio.save(path).then(
      () => undefined,
      (caught: Error) => caught,
    );
    assert.ok(error instanceof InputError && message.test(error.message), `${path}: ${error}`);
  };
  await fails(join(folder, 'nowhere', 'a.wav'), /nowhere.a\.wav: got no folder .*nowhere, expected one to write into/);
  await fails(folder, /got a folder, expected the path of a file/);
  await fails('', /empty path/);
});

test.run();
