// PyTorch files that are refused or damaged: each says what it is, and none becomes a wrong tensor.
// Needs: no device.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { openFile } from '../../../../runtime/files/bytes.ts';
import { WeightsError } from '../../../../runtime/base/errors.ts';
import { openTorchCheckpoint, openTorchFile } from '../../../../runtime/formats/torch/file.ts';
import { fixtures, expected, attacks, decoded, hex, fileOf, thrown, watched } from './fixtures.ts';

const test = suite('torch_refused');

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
