// PyTorch's files: everything that torch itself reads in them, bit for bit, without reading what
// was not asked for; and files that lie, which must end as errors. test/fixtures/torch/make.py made
// them, and wrote down what torch reads.
// Needs: no device.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { mkdtemp, open, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openFile } from '../../../../runtime/files/bytes.ts';
import { openCheckpoint } from '../../../../runtime/formats/open_checkpoint.ts';
import { openModelSource } from '../../../../runtime/sources/open_source.ts';
import { openTorchCheckpoint, openTorchFile } from '../../../../runtime/formats/torch/file.ts';
import { isTensor } from '../../../../runtime/formats/torch/globals.ts';
import { gather } from '../../../../runtime/formats/torch/strides.ts';
import type { PickleValue } from '../../../../runtime/formats/pickle/values.ts';
import { fixtures, json, expected, attacks, decoded, hex, thrown, watched } from './fixtures.ts';

const test = suite('torch_file');

for (const [name, tensors] of Object.entries(expected)) {
  test(`${name}: names, shapes, dtypes and bytes as torch reads them`, async () => {
    const file = await openTorchFile(await openFile(join(fixtures, name)));
    const { root } = file;
    assert.instance(root, Map);
    const map = root as Map<PickleValue, PickleValue>;
    const checkpoint = file.checkpoint(map.get('model') ?? map.get('state_dict') ?? map);
    assert.equal(checkpoint.names(), Object.keys(tensors));
    for (const [tensor, { dtype, shape, hex: bytes }] of Object.entries(tensors)) {
      const info = checkpoint.info(tensor);
      assert.equal([info.dtype, info.shape, info.byteLength], [dtype, shape, bytes.length / 2], tensor);
      assert.is(hex(await checkpoint.read(tensor)), bytes, tensor);
      // Any part, whole elements or not.
      for (const [start, end] of [
        [0, 1],
        [1, 7],
        [5, bytes.length / 2],
        [bytes.length / 2, bytes.length / 2],
      ] as const) {
        if (end <= bytes.length / 2 && start <= end)
          assert.is(
            hex(await checkpoint.read(tensor, start, end)),
            bytes.slice(2 * start, 2 * end),
            `${tensor} ${start} to ${end}`,
          );
      }
    }
    await checkpoint.close();
  });
}

test('tied tensors are told from equal ones', async () => {
  for (const name of ['tensors-zip-2.pt', 'tensors-legacy-2.pt']) {
    const checkpoint = await openTorchCheckpoint(await openFile(join(fixtures, name)));
    const identity = (tensor: string) => checkpoint.info(tensor).identity;
    assert.is(identity('base'), identity('tied'));
    assert.is.not(identity('base'), identity('slice')); // of the same storage
    assert.is.not(identity('dtype.I8'), identity('dtype.U8'));
    assert.is(new Set(checkpoint.names().map(identity)).size, checkpoint.names().length - 1);
    await checkpoint.close();
  }
  const module = await openTorchCheckpoint(await openFile(join(fixtures, 'module.pt')));
  assert.is(module.info('embed.weight').identity, module.info('head.weight').identity);
  assert.ok(module.has('norm.num_batches_tracked'));
  await module.close();
});

test("suno's checkpoints: training state in plain values", async () => {
  for (const name of ['suno.pt', 'suno-legacy.pt']) {
    const { root, close } = await openTorchFile(await openFile(join(fixtures, name)));
    const at = (...path: (string | number)[]) =>
      path.reduce(
        (value, key) =>
          Array.isArray(value) ? value[key as number]! : (value as Map<PickleValue, PickleValue>).get(key)!,
        root as PickleValue,
      );
    assert.equal(
      [...(at('model_args') as Map<string, PickleValue>)],
      [
        ['n_layer', 1],
        ['n_head', 2],
        ['n_embd', 4],
        ['block_size', 1024],
        ['bias', false],
        ['dropout', 0],
        ['input_vocab_size', 129600],
        ['output_vocab_size', 10048],
      ],
    );
    assert.is(at('iter_num'), 2 ** 40);
    assert.is(at('best_val_loss'), 1.5);
    assert.equal(at('losses'), [0.25, -3, true, 0.5, 200]);
    assert.equal(at('large'), [2n ** 63n, -(2n ** 80n), 2n ** 53n, -1, 255, 256, 65536, -(2 ** 31)]);
    assert.equal(at('config', 'names'), ['a', 'ü', '']);
    assert.equal(at('config', 'bytes'), Uint8Array.of(0, 255));
    assert.equal(at('config', 'set'), new Set([1, 2]));
    assert.equal(at('config', 'size'), [2, 3]);
    assert.is(at('config', 'wandb'), null);
    assert.is(at('config', 'device_object'), 'cuda:0');
    assert.equal(
      [...(at('order') as Map<string, PickleValue>)],
      [
        ['z', 1],
        ['a', Infinity],
      ],
    );
    assert.equal(at('optimizer', 'param_groups', 0, 'betas'), [0.9, 0.95]);
    assert.ok(isTensor(at('optimizer', 'state', 0, 'exp_avg')));
    await close();
  }
});

test('opening reads no tensor, and a tensor is read in place', async () => {
  for (const name of ['tensors-zip-2.pt', 'tensors-legacy-2.pt']) {
    const file = await watched(name);
    const checkpoint = await openTorchCheckpoint(file);
    file.ranges.length = 0;
    await checkpoint.read('base', 8, 24);
    const whole = await readFile(join(fixtures, name));
    const [start, end] = file.ranges.at(-1)!;
    assert.is(end - start, 16);
    assert.is(hex(whole.subarray(start, end)), expected[name]!.base!.hex.slice(16, 48));
    assert.is(file.ranges.length, 2); // the storage's header, once
    await checkpoint.read('base', 0, 4);
    assert.is(file.ranges.length, 3);
    await checkpoint.close();
    assert.is(file.closed, 1);
  }
});

test('what is asked for is held against the checkpoint', async () => {
  const checkpoint = await openTorchCheckpoint(await openFile(join(fixtures, 'tensors-zip-2.pt')));
  assert.match(
    (await thrown(checkpoint.read('bass'))).message,
    /tensors-zip-2\.pt: got no tensor bass, expected one\. Nearest names: base/,
  );
  for (const [start, end] of [
    [0, 241],
    [-1, 3],
    [5, 4],
    [241, 241],
  ]) {
    assert.match(
      (await thrown(checkpoint.read('base', start, end))).message,
      /got the byte range \[.*\) of "base", expected one inside its 240 bytes/,
    );
  }
  await checkpoint.close();
});

test('views of large storages, through windows of them', async () => {
  // 3 rows of 8 M float16 values, 48 MiB: two windows. Each value is its place modulo 65521, a
  // prime.
  const rows = 3;
  const columns = 8_388_611;
  const storage = new Uint16Array(rows * columns);
  for (let i = 0; i < storage.length; i++) storage[i] = i % 65521;
  const bytes = new Uint8Array(storage.buffer);
  let largest = 0;
  const read = async (start: number, end: number) => {
    largest = Math.max(largest, end - start);
    return bytes.subarray(start, end);
  };
  const transposed = { dtype: 'F16', offset: 0, shape: [columns, rows], stride: [1, columns] } as const;
  const from = 5_000_000 * rows * 2;
  const out = new Uint16Array((await gather(transposed, from, from + 300_000 * 2, read)).buffer);
  for (let i = 0; i < out.length; i++)
    if (out[i] !== (5_000_000 + Math.floor(i / rows) + (i % rows) * columns) % 65521)
      assert.unreachable(`element ${i}`);
  const sliced = { dtype: 'F16', offset: 1, shape: [rows, 2_000_000], stride: [columns, 4] } as const;
  const all = new Uint16Array((await gather(sliced, 0, rows * 2_000_000 * 2, read)).buffer);
  for (let i = 0; i < all.length; i++)
    if (all[i] !== (1 + Math.floor(i / 2_000_000) * columns + (i % 2_000_000) * 4) % 65521)
      assert.unreachable(`element ${i}`);
  assert.ok(largest <= 32 * 2 ** 20, `${largest} bytes at once`);
});

test('a ZIP64 file of more than 4 GiB', async () => {
  // Byte for byte what torch.save wrote; the gigabytes of zeros between are a hole in a sparse
  // file.
  const { head, tail, tailStart } = (await json('large.json')) as { head: string; tail: string; tailStart: number };
  const folder = await mkdtemp(join(tmpdir(), 'torch-file-'));
  try {
    const file = await open(join(folder, 'pytorch_model.bin'), 'w');
    await file.write(Buffer.from(head, 'base64'), 0, undefined, 0);
    await file.write(Buffer.from(tail, 'base64'), 0, undefined, tailStart);
    await file.close();
    const checkpoint = await openCheckpoint(await openModelSource(folder));
    assert.equal(checkpoint.names(), ['huge', 'last']);
    assert.is(checkpoint.info('huge').byteLength, 2 ** 32 + 64);
    assert.equal(
      [...new Float32Array((await checkpoint.read('huge', 2 ** 32 - 8)).buffer)],
      [0, 0, ...Array.from({ length: 16 }, (_, i) => i + 1)],
    );
    assert.equal([...new Float32Array((await checkpoint.read('last')).buffer)], [0, 1, 2, 3]);
    await checkpoint.close();
  } finally {
    await rm(folder, { recursive: true });
  }
});

test('pytorch_model.bin comes after safetensors, and in shards too', async () => {
  const bin = new Blob([(await readFile(join(fixtures, 'module.pt'))) as Uint8Array<ArrayBuffer>]);
  const one = await openCheckpoint(await openModelSource(new Map([['pytorch_model.bin', bin]])));
  assert.is(one.names().length, Object.keys(expected['module.pt']!).length);
  const safetensors = new Blob([decoded(attacks.files.safetensors!) as Uint8Array<ArrayBuffer>]);
  const preferred = await openCheckpoint(
    await openModelSource(
      new Map([
        ['pytorch_model.bin', bin],
        ['model.safetensors', safetensors],
      ]),
    ),
  );
  assert.is(preferred.names().length, 0);

  const wrapped = new Blob([(await readFile(join(fixtures, 'wrapped.pt'))) as Uint8Array<ArrayBuffer>]);
  const index = (map: Record<string, string>) => new Blob([JSON.stringify({ metadata: {}, weight_map: map })]);
  const shards = { 'a.bin': bin, 'b.bin': wrapped };
  const sharded = (map: Record<string, string>) =>
    openModelSource(new Map(Object.entries({ ...shards, 'pytorch_model.bin.index.json': index(map) }))).then((source) =>
      openCheckpoint(source),
    );
  const checkpoint = await sharded({ 'embed.weight': 'a.bin', 'head.weight': 'a.bin', 'norm.weight': 'b.bin' });
  assert.is(hex(await checkpoint.read('norm.weight')), expected['wrapped.pt']!['norm.weight']!.hex);
  assert.is(checkpoint.info('embed.weight').identity, checkpoint.info('head.weight').identity);
  assert.match((await thrown(sharded({ x: 'a.bin' }))).message, /got "x" in "a\.bin", which has no such tensor/);
  assert.match(
    (await thrown(sharded({ 'embed.weight': 'b.bin', 'norm.bias': '../a.bin' }))).message,
    /expected one inside the folder/,
  );
});

test.run();
