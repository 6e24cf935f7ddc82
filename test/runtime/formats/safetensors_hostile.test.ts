// Safetensors files that lie about themselves: each is refused with words that say where it lies.
// Needs: no device.

import { suite } from 'uvu';
import { thrown } from '../../thrown.ts';
import * as assert from 'uvu/assert';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { WeightsError } from '../../../runtime/base/errors.ts';
import { openSafetensors } from '../../../runtime/formats/safetensors.ts';
import { fixtures, sourceOf, file, tensor, header, one } from './safetensors_bytes.ts';

const test = suite('safetensors_hostile');

const long = 'x'.repeat(5000);

const hostile: { name: string; bytes: Uint8Array; message: RegExp }[] = [
  { name: 'no file', bytes: new Uint8Array(0), message: /file of 0 bytes/ },
  { name: 'a length and no header', bytes: file('', 0, 2n), message: /file of 8 bytes/ },
  { name: 'header of 0 bytes', bytes: file('', 8), message: /header of 0 bytes/ },
  { name: 'header length 2^63', bytes: file('{}', 0, 2n ** 63n), message: /header of 9223372036854775808 bytes/ },
  {
    name: 'header length 2^64 - 1',
    bytes: file('{}', 0, 2n ** 64n - 1n),
    message: /header of 18446744073709551615 bytes/,
  },
  { name: 'header over 100 MB', bytes: file('{}', 0, 100_000_001n), message: /header of 100000001 bytes/ },
  { name: 'header longer than the file', bytes: file('{}', 0, 90_000_000n), message: /expected at least 90000008/ },
  { name: 'header one byte longer than the file', bytes: file('{}', 0, 3n), message: /expected at least 11/ },
  { name: 'not UTF-8', bytes: file(Uint8Array.of(0x7b, 0x22, 0xff, 0x22, 0x7d)), message: /not UTF-8/ },
  { name: 'a byte order mark', bytes: file('\ufeff{}'), message: /begins with/ },
  { name: 'not an object', bytes: file('[]'), message: /begins with "\["/ },
  { name: 'leading space', bytes: file(' {}'), message: /begins with " "/ },
  { name: 'not JSON', bytes: file('{"a":'), message: /not JSON/ },
  { name: 'a string without an end', bytes: file('{"a\\'), message: /not JSON/ },
  { name: 'two objects', bytes: file('{}{}'), message: /not JSON/ },
  { name: 'a wrong escape in a key', bytes: file('{"\\q":1}'), message: /not JSON/ },
  { name: 'deep JSON', bytes: file(`{"a":${'['.repeat(1_000_000)}`), message: /nested more than 3 deep/ },
  {
    name: 'a name twice',
    bytes: file(
      '{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"a":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]}}',
      8,
    ),
    message: /"a" twice/,
  },
  {
    name: 'a name twice, once escaped',
    bytes: file(
      '{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"\\u0061":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}',
      8,
    ),
    message: /"a" twice/,
  },
  {
    name: 'a field twice',
    bytes: file('{"a":{"dtype":"F32","dtype":"F16","shape":[2],"data_offsets":[0,8]}}', 8),
    message: /"dtype" twice/,
  },
  { name: 'tensor is null', bytes: file('{"a":null}'), message: /no object for "a"/ },
  { name: 'tensor is a list', bytes: file('{"a":[]}'), message: /no object for "a"/ },
  { name: 'metadata is a number', bytes: file('{"__metadata__":1}'), message: /__metadata__ that is no object/ },
  { name: 'metadata of numbers', bytes: file('{"__metadata__":{"a":1}}'), message: /__metadata__ "a"/ },
  { name: 'no dtype', bytes: file('{"a":{"shape":[2],"data_offsets":[0,8]}}', 8), message: /dtype none for "a"/ },
  { name: 'wrong dtype', bytes: file(header({ a: tensor([2], [0, 8], 'F33') }), 8), message: /dtype "F33" for "a"/ },
  { name: 'dtype in lower case', bytes: file(header({ a: tensor([2], [0, 8], 'f32') }), 8), message: /dtype "f32"/ },
  {
    name: 'dtype of Object.prototype',
    bytes: file(header({ a: tensor([2], [0, 8], 'constructor') }), 8),
    message: /dtype "constructor"/,
  },
  { name: 'dtype is an object', bytes: file(header({ a: tensor([2], [0, 8], {}) }), 8), message: /dtype \{\}/ },
  { name: 'no shape', bytes: file('{"a":{"dtype":"F32","data_offsets":[0,8]}}', 8), message: /shape none for "a"/ },
  { name: 'shape is a string', bytes: file(header({ a: tensor('2', [0, 8]) }), 8), message: /shape "2"/ },
  { name: 'negative size', bytes: file(header({ a: tensor([-2], [0, 8]) }), 8), message: /shape \[-2\]/ },
  { name: 'two negative sizes', bytes: file(header({ a: tensor([-1, -2], [0, 8]) }), 8), message: /shape \[-1,-2\]/ },
  { name: 'fractional size', bytes: file(header({ a: tensor([0.5, 4], [0, 8]) }), 8), message: /shape \[0\.5,4\]/ },
  {
    name: 'size is NaN',
    bytes: file('{"a":{"dtype":"F32","shape":[NaN],"data_offsets":[0,8]}}', 8),
    message: /not JSON/,
  },
  { name: 'size is null', bytes: file(header({ a: tensor([null], [0, 8]) }), 8), message: /shape \[null\]/ },
  {
    name: 'size is infinite',
    bytes: file('{"a":{"dtype":"F32","shape":[1e999],"data_offsets":[0,8]}}', 8),
    message: /shape \[null\]/,
  },
  {
    name: 'size over 2^53',
    bytes: file('{"a":{"dtype":"F32","shape":[9007199254740993],"data_offsets":[0,8]}}', 8),
    message: /shape/,
  },
  {
    name: 'product over 2^53',
    bytes: file(header({ a: tensor([2 ** 40, 2 ** 40, 0], [0, 0]) })),
    message: /that fits in a file/,
  },
  {
    name: 'product over 2^64, back to 8',
    bytes: file(header({ a: tensor([2 ** 33, 2 ** 33, 2 ** 33], [0, 8]) }), 8),
    message: /that fits in a file/,
  },
  { name: 'no offsets', bytes: file('{"a":{"dtype":"F32","shape":[2]}}', 8), message: /data_offsets none/ },
  { name: 'one offset', bytes: file(header({ a: tensor([2], [0]) }), 8), message: /data_offsets \[0\]/ },
  { name: 'three offsets', bytes: file(header({ a: tensor([2], [0, 8, 8]) }), 8), message: /data_offsets \[0,8,8\]/ },
  { name: 'negative offset', bytes: file(header({ a: tensor([2], [-8, 0]) }), 8), message: /data_offsets \[-8,0\]/ },
  {
    name: 'fractional offset',
    bytes: file(header({ a: tensor([2], [0.5, 8.5]) }), 9),
    message: /data_offsets \[0\.5,8\.5\]/,
  },
  {
    name: 'offsets as strings',
    bytes: file(header({ a: tensor([2], ['0', '8']) }), 8),
    message: /data_offsets \["0","8"\]/,
  },
  { name: 'end before begin', bytes: file(header({ a: tensor([2], [8, 0]) }), 8), message: /a begin before the end/ },
  {
    name: 'end behind the file',
    bytes: file(header({ a: tensor([2 ** 40], [0, 2 ** 42]) }), 8),
    message: /an end within the 8 bytes of data/,
  },
  {
    name: 'more bytes than the shape',
    bytes: file(header({ a: tensor([1], [0, 8]) }), 8),
    message: /got 8 bytes for "a", expected 4 from shape \[1\] of "F32"/,
  },
  {
    name: 'fewer bytes than the shape',
    bytes: file(header({ a: tensor([3], [0, 8]) }), 8),
    message: /got 8 bytes for "a", expected 12/,
  },
  {
    name: 'overlap',
    bytes: file(header({ a: tensor([2], [0, 8]), b: tensor([2], [4, 12]) }), 12),
    message: /"b" at byte \d+, expected \d+: tensors must neither overlap/,
  },
  {
    name: 'two tensors on one place',
    bytes: file(header({ ...one, b: tensor([2], [0, 8]) }), 8),
    message: /neither overlap nor leave holes/,
  },
  {
    name: 'a tensor inside another',
    bytes: file(header({ a: tensor([4], [0, 16]), b: tensor([1], [4, 8]) }), 16),
    message: /neither overlap nor leave holes/,
  },
  {
    name: 'a hole',
    bytes: file(header({ a: tensor([2], [0, 8]), b: tensor([2], [9, 17]) }), 17),
    message: /neither overlap nor leave holes/,
  },
  {
    name: 'a hole at the front',
    bytes: file(header({ a: tensor([2], [1, 9]) }), 9),
    message: /neither overlap nor leave holes/,
  },
  {
    name: 'trailing bytes',
    bytes: file(header(one), 9),
    message: /got a file of (\d+) bytes, expected \d+, the end of its last tensor/,
  },
  { name: 'no tensors, and data', bytes: file('{}', 1), message: /got a file of 11 bytes, expected 10/ },
  { name: 'a monstrous name', bytes: file(header({ [long]: tensor([2], [0, 8], long) }), 8), message: /^.{1,500}$/ },
  { name: 'escape codes in a name', bytes: file(header({ '\u001b[2J': null })), message: /"\\u001b\[2J"/ },
];

for (const { name, bytes, message } of hostile) {
  test(`hostile: ${name}`, async () => {
    const source = sourceOf(bytes);
    const began = performance.now();
    const error = await thrown(openSafetensors(source));
    assert.instance(error, WeightsError);
    assert.match(error.message, message);
    assert.match(error.message, /^hostile\.safetensors: got .+, expected .+/);
    assert.ok(performance.now() - began < 1000, 'it took over a second');
    assert.ok(source.asked <= bytes.length && source.closed);
  });
}

test('truncated at every byte, and one byte too long', async () => {
  const bytes = new Uint8Array(await readFile(join(fixtures, 'mixed.safetensors')));
  for (let length = 0; length < bytes.length; length++) {
    const error = await thrown(openSafetensors(sourceOf(bytes.slice(0, length))));
    assert.instance(error, WeightsError, `${length} bytes: ${error.stack}`);
  }
  const grown = new Uint8Array(bytes.length + 1);
  grown.set(bytes);
  assert.instance(await thrown(openSafetensors(sourceOf(grown))), WeightsError);
  await openSafetensors(sourceOf(bytes));
});

test.run();
