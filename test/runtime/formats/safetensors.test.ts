// Safetensors against files that Python's safetensors wrote (test/fixtures/safetensors/make.py),
// and against hostile ones:
// each must end in a WeightsError that names the file, having asked for no more bytes than the file
// has.
// Needs: no device.

import { suite } from 'uvu';
import { thrown } from '../../thrown.ts';
import * as assert from 'uvu/assert';
import { mkdtemp, open, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { WeightsError } from '../../../runtime/base/errors.ts';
import { openCheckpoint } from '../../../runtime/formats/open_checkpoint.ts';
import { openSafetensors } from '../../../runtime/formats/safetensors.ts';
import { openSharded } from '../../../runtime/formats/sharded.ts';
import { openModelSource } from '../../../runtime/sources/open_source.ts';
import { fixtures, sourceOf, file, tensor, header } from './safetensors_bytes.ts';

const test = suite('safetensors');

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
