// Safetensors against files that Python's safetensors wrote (test/fixtures/safetensors/make.py),
// and against hostile ones:
// each must end in a WeightsError that names the file, having asked for no more bytes than the file
// has.
// Needs: no GPU.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { mkdtemp, open, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { WeightsError } from '../../../runtime/base/errors.ts';
import { openCheckpoint } from '../../../runtime/formats/open_checkpoint.ts';
import { openSafetensors } from '../../../runtime/formats/safetensors.ts';
import { openSharded } from '../../../runtime/formats/sharded.ts';
import { openModelSource } from '../../../runtime/sources/open_source.ts';
import type { ByteSource } from '../../../runtime/files/model_source.ts';

const test = suite('safetensors');
const fixtures = fileURLToPath(new URL('../../fixtures/safetensors', import.meta.url));

/** Bytes as a source that notes how many were asked for, and whether it was closed. */
function sourceOf(bytes: Uint8Array, size = bytes.length): ByteSource & { asked: number; closed: boolean } {
  return {
    label: 'hostile.safetensors',
    size,
    asked: 0,
    closed: false,
    async read(start, end) {
      if (end > bytes.length) throw new Error(`the reader asked for bytes up to ${end} of ${bytes.length}`);
      this.asked += end - start;
      return new Uint8Array(bytes.slice(start, end));
    },
    async close() {
      this.closed = true;
    },
  };
}

/** A file: the header's length (or a lie), the header, `data` zero bytes. */
function file(header: string | Uint8Array, data = 0, length?: bigint): Uint8Array {
  const text = typeof header === 'string' ? new TextEncoder().encode(header) : header;
  const bytes = new Uint8Array(8 + text.length + data);
  new DataView(bytes.buffer).setBigUint64(0, length ?? BigInt(text.length), true);
  bytes.set(text, 8);
  return bytes;
}

const tensor = (shape: unknown, offsets: unknown, dtype: unknown = 'F32') => ({ dtype, shape, data_offsets: offsets });
const header = (tensors: Record<string, unknown>) => JSON.stringify(tensors);

async function thrown(promise: Promise<unknown>): Promise<Error> {
  try {
    await promise;
  } catch (error) {
    return error as Error;
  }
  throw new Error('nothing was thrown');
}

test('a file of every dtype, as Python wrote it', async () => {
  const source = await openModelSource(fixtures);
  const checkpoint = await openSafetensors(await source.open('mixed.safetensors'));
  const facts = checkpoint
    .names()
    .sort()
    .map((name) => {
      const { dtype, shape, byteLength } = checkpoint.info(name);
      return `${name} ${dtype} (${shape.join(', ')}) ${byteLength}`;
    });
  assert.equal(facts, [
    '__proto__ F32 (2) 8', 'bf16 BF16 (2, 3, 2) 24', 'bool BOOL (1, 3) 3', 'constructor F32 (1) 4', 'empty F32 (0, 4) 0', 'f16 F16 (5, 3) 30',
    'f32 F32 (3, 5) 60', 'f64 F64 (7) 56', 'i64 I64 (7) 56', 'naïve.层 F32 (3) 12', 'scalar F32 () 4',
  ]); // prettier-ignore
  assert.equal([...checkpoint.metadata].sort(), [
    ['format', 'pt'],
    ['note', 'made by make.py'],
  ]);
  assert.ok(checkpoint.has('__proto__') && !checkpoint.has('toString') && !checkpoint.has('__metadata__'));

  const eighths = (count: number) => Array.from({ length: count }, (_, i) => (i - 7) / 8);
  assert.equal([...new Float32Array((await checkpoint.read('f32')).buffer)], eighths(15));
  assert.equal([...new Float64Array((await checkpoint.read('f64')).buffer)], eighths(7));
  assert.equal(
    [...new BigInt64Array((await checkpoint.read('i64')).buffer)],
    [-3n, -2n, -1n, 0n, 1n, 2n, 3n].map((i) => i * 2n ** 40n),
  );
  assert.equal([...(await checkpoint.read('bool'))], [1, 0, 1]);
  assert.equal([...new Float32Array((await checkpoint.read('scalar')).buffer)], [-0.375]);
  assert.is((await checkpoint.read('empty')).length, 0);
  assert.equal([...new Float32Array((await checkpoint.read('f32', 8, 16)).buffer)], eighths(4).slice(2));
  assert.is((await checkpoint.read('f32', 60)).length, 0);

  for (const [start, end] of [
    [0, 61],
    [-1, 4],
    [8, 4],
  ] as const)
    assert.instance(await thrown(checkpoint.read('f32', start, end)), WeightsError);
  const missing = await thrown((async () => checkpoint.info('f23'))());
  assert.instance(missing, WeightsError);
  assert.match(missing.message, /mixed\.safetensors: got no tensor f23.*f32/);
  await checkpoint.close();
});

test('shards behind an index, as Python wrote them', async () => {
  const checkpoint = await openCheckpoint(await openModelSource(join(fixtures, 'sharded')));
  assert.equal(
    checkpoint.names().sort(),
    [0, 1, 2, 3, 4].map((i) => `layers.${i}.weight`),
  );
  for (let i = 0; i < 5; i++) {
    assert.equal(checkpoint.info(`layers.${i}.weight`).shape, [4, 6]);
    const values = new Float32Array((await checkpoint.read(`layers.${i}.weight`)).buffer);
    assert.equal(
      [...values],
      Array.from({ length: 24 }, (_, j) => (j - 7) / 8 + i),
    );
  }
  assert.match(
    (await thrown(checkpoint.read('layers.5.weight'))).message,
    /index\.json: got no tensor layers\.5\.weight.*layers\.\d\.weight/,
  );
  await checkpoint.close();
});

test('an index that lies', async () => {
  const shard = new Blob([
    (await readFile(join(fixtures, 'sharded/model-00001-of-00003.safetensors'))) as Uint8Array<ArrayBuffer>,
  ]);
  const source = await openModelSource(new Map([['a.safetensors', shard]]));
  const cases: [unknown, RegExp][] = [
    [{ weight_map: { 'layers.0.weight': 'b.safetensors' } }, /no file "b\.safetensors"/],
    [{ weight_map: { 'layers.9.weight': 'a.safetensors' } }, /"layers\.9\.weight" in "a\.safetensors"/],
    [
      { weight_map: { 'layers.0.weight': '../a.safetensors' } },
      /path "\.\.\/a\.safetensors", expected one inside the folder/,
    ],
    [{ weight_map: { 'layers.0.weight': '/etc/passwd' } }, /expected one inside the folder/],
    [{ weight_map: { 'layers.0.weight': 3 } }, /got 3 as the file/],
    [{ weight_map: ['a.safetensors'] }, /no weight_map/],
    [{}, /no weight_map/],
    [null, /no weight_map/],
  ];
  for (const [index, message] of cases) {
    const error = await thrown(openSharded(source, index, 'model.safetensors.index.json', openSafetensors));
    assert.instance(error, WeightsError);
    assert.match(error.message, message);
  }
});

const one = { a: tensor([2], [0, 8]) };
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

test('what is odd and allowed', async () => {
  const nothing = await openSafetensors(sourceOf(file('{}')));
  assert.equal(nothing.names(), []);
  assert.match((await thrown(nothing.read('a'))).message, /holds no tensors/);
  // Padding after the header; names out of the data's order; an empty tensor between two; a size of
  // zero beside a huge one.
  const text = header({ z: tensor([1], [8, 12]), e: tensor([0, 2 ** 50], [8, 8]), a: tensor([2], [0, 8]) }) + '     ';
  const odd = await openSafetensors(sourceOf(file(text, 12)));
  assert.equal(odd.names(), ['z', 'e', 'a']);
  assert.is((await odd.read('z')).length, 4);
});

test('a file over 4 GiB', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'bark-large-'));
  try {
    const large = 4.5 * 2 ** 30;
    const text = header({ large: tensor([large / 2], [0, large], 'F16'), last: tensor([3], [large, large + 12]) });
    const bytes = file(text);
    const handle = await open(join(folder, 'model.safetensors'), 'w');
    await handle.truncate(bytes.length + large + 12); // sparse: takes no room on disk
    await handle.write(bytes, 0, bytes.length, 0);
    await handle.write(new Uint8Array(Float32Array.of(1.5, -2, 0.25).buffer), 0, 12, bytes.length + large);
    await handle.close();
    const checkpoint = await openCheckpoint(await openModelSource(folder));
    assert.is(checkpoint.info('large').byteLength, large);
    assert.equal([...new Float32Array((await checkpoint.read('last')).buffer)], [1.5, -2, 0.25]);
    assert.equal([...(await checkpoint.read('large', large - 4))], [0, 0, 0, 0]);
    await checkpoint.close();
  } finally {
    await rm(folder, { recursive: true });
  }
});

test('a folder with no weights', async () => {
  const folderOf = (...names: string[]) => openModelSource(new Map(names.map((name) => [name, new Blob(['x'])])));
  const none = await thrown(openCheckpoint(await folderOf('config.json')));
  assert.instance(none, WeightsError);
  assert.match(none.message, /expected model\.safetensors or model\.safetensors\.index\.json/);
});

test.run();
