// PyTorch's files: everything that torch itself reads in them, bit for bit, without reading what
// was not asked for; and files that lie, which must end as errors. test/fixtures/torch/make.py made
// them, and wrote down what torch reads.
// Needs: no GPU.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { mkdtemp, open, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { inflateSync } from 'node:zlib';
import { blobBytes, openFile } from '../../../../runtime/files/bytes.ts';
import { WeightsError } from '../../../../runtime/base/errors.ts';
import { openCheckpoint } from '../../../../runtime/formats/open_checkpoint.ts';
import { openModelSource } from '../../../../runtime/sources/open_source.ts';
import { openTorchCheckpoint, openTorchFile } from '../../../../runtime/formats/torch/file.ts';
import { isTensor } from '../../../../runtime/formats/torch/globals.ts';
import { gather } from '../../../../runtime/formats/torch/strides.ts';
import type { ByteSource } from '../../../../runtime/files/model_source.ts';
import type { PickleValue } from '../../../../runtime/formats/pickle/values.ts';

const test = suite('torch_file');
const fixtures = join(dirname(fileURLToPath(import.meta.url)), '../../../fixtures/torch');
const json = async (name: string) => JSON.parse(await readFile(join(fixtures, name), 'utf8'));
const expected = (await json('expected.json')) as Record<
  string,
  Record<string, { dtype: string; shape: number[]; hex: string }>
>;
const attacks = (await json('attacks.json')) as { files: Record<string, string> };
const decoded = (text: string) => new Uint8Array(inflateSync(Buffer.from(text, 'base64')));
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

/** Bytes as a file. */
const fileOf = (bytes: Uint8Array, label: string) => blobBytes(new Blob([bytes as Uint8Array<ArrayBuffer>]), label);

const thrown = async (promise: Promise<unknown>): Promise<Error> => {
  const error = await promise.then(
    () => undefined,
    (error: Error) => error,
  );
  assert.instance(error, WeightsError);
  return error!;
};

/** A file that notes what is read of it, and whether it was closed. */
async function watched(name: string): Promise<ByteSource & { ranges: [number, number][]; closed: number }> {
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

const messages: Record<string, RegExp> = {
  'complex-refused.pt': /got torch\.ComplexFloatStorage, expected plain tensors\. Complex numbers are not read/,
  'sparse-refused.pt':
    /got torch\._utils\._rebuild_sparse_tensor, expected plain tensors\. Sparse tensors are not read/,
  'float8-refused.pt': /got torch\.float8_e4m3fn, expected plain tensors\. 8-bit floats are not read/,
  'negated-refused.pt': /got a tensor with the note "neg", expected its plain values, as tensor\.resolve_neg\(\)/,
  'module-refused.pt': /got torch\.nn\.modules\.linear\.Linear, .*save module\.state_dict\(\)/,
};
for (const [name, message] of Object.entries(messages)) {
  test(`${name} says what it is`, async () => {
    assert.match((await thrown(openTorchFile(await openFile(join(fixtures, name))))).message, message);
  });
}

const reasons: Record<string, RegExp> = {
  'a tensor that ends beyond its storage':
    /got bytes up to 12 for "w" of shape \[3\], expected at most the 8 of its storage/,
  'a tensor that begins beyond its storage': /bytes up to 16/,
  'a stride beyond its storage': /bytes up to 12/,
  'a storage that is not there': /got no storage "1"/,
  'a storage outside of data': /got no storage "\.\.\/data\.pkl"/,
  'a storage of more values than it has': /got 8 bytes as storage "0", expected one of 12 bytes/,
  'a size of 2^52': /bytes for "w"|bytes up to/,
  'sizes of 2^100': /for "w" of shape/,
  'strides of 2^100': /bytes up to/,
  'sizes and strides of unlike lengths': /offset, size and stride are no counts/,
  'a negative stride': /offset, size and stride are no counts/,
  'a negative offset': /offset, size and stride are no counts/,
  'a thousand axes': /offset, size and stride are no counts/,
  'big-endian': /got byte order "big", expected "little"/,
  'a format of the future': /got format version "11", expected 1 to 10/,
  'no pickle': /with 0 files data\.pkl/,
  'two roots': /with 2 files data\.pkl/,
  TorchScript: /got a TorchScript archive/,
  'a list': /got a list, expected a dict of tensors/,
  'os.system in a zip': /got the global "(posix|nt|os)\.system", which could run code/,
  'a wrong checksum of the pickle': /data\.pkl: got a member that is not read \(Invalid CRC32\)/,
  'legacy: cut in its storage': /got a file of \d+ bytes, expected at least \d+, the end of a storage/,
  'legacy: cut in its pickles': /got a pickle that ends at byte 200/,
  'legacy: big-endian': /got big-endian numbers/,
  'legacy: another version': /got format version 1002, expected 1001/,
  'legacy: a storage of more values': /got a storage of 5 values at byte \d+, expected 4/,
  'legacy: os.system': /got the global "os\.system"/,
  'a pickle of something else': /got a file that torch\.save did not write/,
  'a pickle of os.system': /got the global "(posix|nt|os)\.system"/,
  'a tar file': /got a tar archive, as PyTorch before 0\.1\.10/,
  'Git LFS': /got a Git LFS pointer, expected the file itself\. Run: git lfs pull/,
  'a web page': /got a web page/,
  safetensors: /got a safetensors file, .* Name it model\.safetensors/,
  JSON: /got JSON/,
  gzip: /got a gzip file/,
  nothing: /got an empty file/,
  noise: /got a file that torch\.save did not write/,
};
for (const [name, coded] of Object.entries(attacks.files)) {
  test(`refused: ${name}`, async () => {
    const bytes = fileOf(decoded(coded), 'folder/text.pt');
    let closed = false;
    bytes.close = async () => void (closed = true);
    const error = await thrown(openTorchCheckpoint(bytes).then((checkpoint) => checkpoint.read('w')));
    assert.match(error.message, reasons[name] ?? /no reason was written down for this one/);
    assert.ok(error.message.startsWith('folder/text.pt'), error.message);
    assert.ok(closed || name === 'legacy: a storage of more values'); // that one is only seen once it is read
  });
}

test('every cut of a good file is an error, not a wrong tensor', async () => {
  for (const name of ['small-zip-5.pt', 'tensors-legacy-4.pt', 'deflated.pt']) {
    const whole = new Uint8Array(await readFile(join(fixtures, name)));
    for (let length = 0; length < whole.length; length += 13) {
      await thrown(openTorchCheckpoint(fileOf(whole.slice(0, length), name)));
    }
  }
});

test('a read that failed is tried again', async () => {
  for (const name of ['tensors-zip-2.pt', 'deflated.pt', 'tensors-legacy-2.pt']) {
    const file = await watched(name);
    const checkpoint = await openTorchCheckpoint(file);
    const [tensor, { hex: bytes }] = Object.entries(expected[name]!).find(([, { hex: bytes }]) => bytes !== '')!;
    const read = file.read;
    file.read = async () => {
      throw new WeightsError('gone for a moment');
    };
    assert.match((await thrown(checkpoint.read(tensor))).message, /gone/);
    file.read = read;
    assert.is(hex(await checkpoint.read(tensor)), bytes, name);
  }
});

test.run();
