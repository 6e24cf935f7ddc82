// .npy and .npz: every dtype, order and version, against bytes made here by hand and against files
// that numpy itself wrote.
// Needs: no device.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { zipSync } from 'fflate';
import { WeightsError } from '../../../runtime/base/errors.ts';
import { parseNpy, parseNpz, writeNpy, writeNpz } from '../../../runtime/formats/npy.ts';

const test = suite('npy');
const fromBase64 = (text: string) => new Uint8Array(Buffer.from(text, 'base64'));
const values = (array: { data: Int32Array; shape: number[] }) => ({ data: [...array.data], shape: array.shape });

/** A version 1 file with a header as given: what a test says is in it, whatever follows. */
function npy(header: string, data: Uint8Array = new Uint8Array()): Uint8Array {
  const text = new TextEncoder().encode(`${header}\n`);
  return Uint8Array.of(0x93, ...Buffer.from('NUMPY'), 1, 0, text.length & 255, text.length >> 8, ...text, ...data);
}
const header = (descr: string, shape: string, fortran = 'False') =>
  `{'descr': '${descr}', 'fortran_order': ${fortran}, 'shape': ${shape}, }`;

const PLAIN =
  'k05VTVBZAQB2AHsnZGVzY3InOiAnPGk4JywgJ2ZvcnRyYW5fb3JkZXInOiBGYWxzZSwgJ3NoYXBlJzogKDMsKSwgfSAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgIAoBAAAAAAAAAAIAAAAAAAAAAwAAAAAAAAA=';
const VERSION_2 =
  'k05VTVBZAgB0AAAAeydkZXNjcic6ICc+aTQnLCAnZm9ydHJhbl9vcmRlcic6IEZhbHNlLCAnc2hhcGUnOiAoMiwgMiksIH0gICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgIAoAAAAB/////gAAAAMAAAAE';
const HALF_FORTRAN =
  'k05VTVBZAQB2AHsnZGVzY3InOiAnPGYyJywgJ2ZvcnRyYW5fb3JkZXInOiBUcnVlLCAnc2hhcGUnOiAoMiwgMywgNCksIH0gICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgIAoAAAA8AEAAQgBEAEUARgBHAEiASABJgEkASoBKAEuASwBMQEyATMBMAE1ATYBNwE0=';
// np.savez_compressed(semantic_prompt='>u2', coarse_prompt='<i2' in Fortran order,
// fine_prompt='<f4')
const DEFLATED =
  'UEsDBC0AAAAIAAAAIQBzIqnV//////////8TABQAc2VtYW50aWNfcHJvbXB0Lm5weQEAEACOAAAAAAAAAFIAAAAAAAAAm+wX6hsQychQxlCtnpJanFykbqWgbldqpK6joJ6WX1RSlJgXn1+UkgoSd0vMKU4FihdnJBakAvka5jqaOgq1ChQALgYGxvUM7Iw6DEwMnAzcAFBLAwQtAAAACAAAACEAqsv6TP//////////EQAUAGNvYXJzZV9wcm9tcHQubnB5AQAQAKwAAAAAAAAAcgAAAAAAAACb7BfqGxDJyFDGUK2eklqcXKRupaBuk2mkrqOgnpZfVFKUmBefX5SSChIPKSpNBQoXZyQWpAK5GkY6CoaGmjoKtQpkAy4GBm4GRgYeBiYGXgZmBj4GFgZ+BlYGAQY2BkEGdgYhBg4GYQZOBhEGLgZRBgBQSwMELQAAAAgAAAAhAOTchRX//////////w8AFABmaW5lX3Byb21wdC5ucHkBABAA4AEAAAAAAAABAQAAAAAAAJ3Qv0sCcRjH8a8QBEIgBEEg9CWI74lHcHBQSMG3DgTBfhAIhmAc3ZlI5XEXgmS0NDkJQVODODk5NTXd5NTU5NTU1OTU5ODb/oQeeMHzfHiGh+f5uHR0ep4QLXGvPD+6DFVOqr2arUypas3wLnRvL5qh5y/yvHsd+eRR3Q18ZmPXlJaVMeWD/G8lxV9pLUSM1AE9AvQwRIwJplg6ZAdpGLChUUQZHgJ08IQuenjBKwYYYoQ3vCPGGB/4xARf+MYPpvjFDAmHG7CMJFaQwirWsI40NrCJLRjIYhsWbOwgh31oOMijgCJOcIYSyqigChcertDADQJEaKGNDh6dxVOF6Os5UEsBAi0DLQAAAAgAAAAhAHMiqdVSAAAAjgAAABMAAAAAAAAAAAAAAIABAAAAAHNlbWFudGljX3Byb21wdC5ucHlQSwECLQMtAAAACAAAACEAqsv6THIAAACsAAAAEQAAAAAAAAAAAAAAgAGXAAAAY29hcnNlX3Byb21wdC5ucHlQSwECLQMtAAAACAAAACEA5NyFFQEBAADgAQAADwAAAAAAAAAAAAAAgAFMAQAAZmluZV9wcm9tcHQubnB5UEsFBgAAAAADAAMAvQAAAI4CAAAAAA==';

test('files that numpy wrote: versions 1 to 3, big-endian, float16 in Fortran order', () => {
  assert.equal(values(parseNpy(fromBase64(PLAIN), 'a.npy')), { data: [1, 2, 3], shape: [3] });
  assert.equal(values(parseNpy(fromBase64(VERSION_2), 'a.npy')), { data: [1, -2, 3, 4], shape: [2, 2] });
  const version3 = fromBase64(VERSION_2);
  version3[6] = 3;
  assert.equal(values(parseNpy(version3, 'a.npy')), { data: [1, -2, 3, 4], shape: [2, 2] });
  // np.arange(24).reshape(2, 3, 4, order='F'): element [i, j, k] is i + 2 j + 6 k.
  const counted = Array.from({ length: 24 }, (_, n) => Math.floor(n / 12) + 2 * (Math.floor(n / 4) % 3) + 6 * (n % 4));
  assert.equal(values(parseNpy(fromBase64(HALF_FORTRAN), 'a.npy')), { data: counted, shape: [2, 3, 4] });
});

test('every dtype in both byte orders, from a view that is not aligned', () => {
  const writers: Record<string, (view: DataView, at: number, value: number, little: boolean) => void> = {
    i1: (view, at, value) => view.setInt8(at, value),
    u1: (view, at, value) => view.setUint8(at, value),
    i2: (view, at, value, little) => view.setInt16(at, value, little),
    u2: (view, at, value, little) => view.setUint16(at, value, little),
    i4: (view, at, value, little) => view.setInt32(at, value, little),
    u4: (view, at, value, little) => view.setUint32(at, value, little),
    i8: (view, at, value, little) => view.setBigInt64(at, BigInt(value), little),
    u8: (view, at, value, little) => view.setBigUint64(at, BigInt(value), little),
    f4: (view, at, value, little) => view.setFloat32(at, value, little),
    f8: (view, at, value, little) => view.setFloat64(at, value, little),
  };
  for (const [dtype, write] of Object.entries(writers)) {
    const size = Number(dtype[1]);
    const expected = dtype.startsWith('u') ? [0, 7, 127, 200, 1] : [0, -7, 127, -128, 1];
    for (const order of size === 1 ? ['|'] : ['<', '>', '=']) {
      const data = new Uint8Array(expected.length * size);
      expected.forEach((value, i) => write(new DataView(data.buffer), i * size, value, order !== '>'));
      const file = npy(header(order + dtype, '(5,)'), data);
      const shifted = new Uint8Array(file.length + 3).subarray(3);
      shifted.set(file);
      assert.equal(values(parseNpy(shifted, 'a.npy')), { data: expected, shape: [5] }, order + dtype);
    }
  }
  assert.equal(values(parseNpy(npy(header('|b1', '(3,)'), Uint8Array.of(0, 1, 255)), 'a.npy')), {
    data: [0, 1, 1],
    shape: [3],
  });
});

test('empty arrays, scalars, Fortran order of an odd shape, bytes after the array', () => {
  assert.equal(values(parseNpy(npy(header('<i4', '(2, 0)', 'True')), 'a.npy')), { data: [], shape: [2, 0] });
  assert.equal(values(parseNpy(npy(header('|u1', '()'), Uint8Array.of(9)), 'a.npy')), { data: [9], shape: [] });
  assert.equal(
    values(
      parseNpy(
        npy(
          header('|u1', '(3, 5)', 'True'),
          Uint8Array.from({ length: 17 }, (_, i) => i),
        ),
        'a.npy',
      ),
    ),
    {
      data: [0, 3, 6, 9, 12, 1, 4, 7, 10, 13, 2, 5, 8, 11, 14],
      shape: [3, 5],
    },
  );
});

test('damaged and foreign files are errors that name the file', () => {
  const big = new Uint8Array(8);
  new DataView(big.buffer).setBigInt64(0, 2n ** 31n, true);
  const cases: [string, Uint8Array, RegExp][] = [
    ['empty', new Uint8Array(), /an empty file/],
    ['not npy', new TextEncoder().encode('version https://git-lfs'), /got a Git LFS pointer/],
    ['not npy', new TextEncoder().encode('a text'), /another kind of file/],
    ['cut in the header', fromBase64(PLAIN).subarray(0, 40), /a header of 118 bytes in a file of 40/],
    ['cut in the data', fromBase64(PLAIN).subarray(0, 150), /got 2 values, expected 3/],
    ['version', Uint8Array.of(...fromBase64(PLAIN).subarray(0, 6), 9, 0, 0, 0), /format version 9/],
    ['objects', npy(header('|O', '(1,)'), new Uint8Array(8)), /dtype '\|O'/],
    ['strings', npy(header('<U4', '(1,)'), new Uint8Array(16)), /dtype '<U4'/],
    [
      'structured',
      npy("{'descr': [('a', '<i4')], 'fortran_order': False, 'shape': (1,), }", new Uint8Array(4)),
      /structured/,
    ],
    ['huge shape', npy(header('|u1', '(99999999999, 99999999)'), new Uint8Array(4)), /got 4 values/],
    ['shape beyond numbers', npy(header('|u1', '(99999999999999999999,)')), /the shape/],
    ['negative shape', npy(header('|u1', '(-3,)')), /without descr/],
    ['fraction', npy(header('<f4', '(1,)'), new Uint8Array(Float32Array.of(1.5).buffer)), /got 1.5 at value 0/],
    ['not a number', npy(header('<f4', '(2,)'), new Uint8Array(Float32Array.of(1, NaN).buffer)), /got NaN at value 1/],
    ['beyond 32 bits', npy(header('<i8', '(1,)'), big), /2147483648/],
  ];
  for (const [name, bytes, message] of cases) {
    assert.throws(
      () => parseNpy(bytes, 'voice/a.npy'),
      (error: Error) =>
        error instanceof WeightsError && error.message.startsWith('voice/a.npy: ') && message.test(error.message),
      name,
    );
  }
});

test('.npz: stored and deflated members, only those asked for', async () => {
  const arrays = await parseNpz(fromBase64(DEFLATED), 'v.npz');
  assert.equal(values(arrays.get('semantic_prompt')!), { data: [0, 431, 7, 300, 2, 9, 11], shape: [7] });
  assert.equal(values(arrays.get('coarse_prompt')!), { data: Array.from({ length: 22 }, (_, i) => i), shape: [2, 11] });
  assert.equal(values(arrays.get('fine_prompt')!), {
    data: Array.from({ length: 88 }, (_, i) => (i * 3) % 256),
    shape: [8, 11],
  });
  const mixed = zipSync({
    'a.npy': fromBase64(PLAIN),
    'b.npy': [fromBase64(VERSION_2), { level: 0 }],
    'readme.txt': new Uint8Array(3),
  });
  assert.equal([...(await parseNpz(mixed, 'v.npz')).keys()], ['a', 'b']);
  assert.equal([...(await parseNpz(mixed, 'v.npz', (name) => name === 'b')).keys()], ['b']);
});

test('.npz: cut, foreign and lying archives are errors', async () => {
  const fails = async (bytes: Uint8Array, message: RegExp, limit?: number) => {
    const error = await parseNpz(bytes, 'v.npz', () => true, limit).then(
      () => undefined,
      (error: Error) => error,
    );
    assert.instance(error, WeightsError);
    assert.ok(error!.message.startsWith('v.npz'), error!.message);
    assert.match(error!.message, message);
  };
  await fails(new Uint8Array(), /got an empty file, expected a \.npz archive/);
  await fails(new TextEncoder().encode('<html>Not found</html>'), /got a web page, expected a \.npz archive/);
  await fails(fromBase64(DEFLATED).subarray(0, 500), /got a zip archive without its end after 500 bytes/);
  await fails(
    zipSync({ 'a.npy': new Uint8Array(100_000) }),
    /got a size of 100000 bytes, expected at most 50000/,
    50_000,
  );

  // A directory that claims 4 GiB for a small member must not be believed.
  const lying = fromBase64(DEFLATED);
  const directory = Buffer.from(lying.buffer).indexOf(Buffer.from('PK\x01\x02', 'latin1'));
  new DataView(lying.buffer).setUint32(directory + 24, 0xfffffff0, true);
  await fails(lying, /semantic_prompt\.npy: got a size of 4294967280 bytes/);
  new DataView(lying.buffer).setUint32(directory + 24, 200, true); // more than is in it, but possible
  await fails(lying, /semantic_prompt\.npy: got a member that is not read \(Ambiguous archive: mismatched/);

  const stored = zipSync({ 'a.npy': fromBase64(PLAIN) }, { level: 0 });
  assert.equal(values((await parseNpz(stored, 'v.npz')).get('a')!), { data: [1, 2, 3], shape: [3] });
  const zipped = Buffer.from(stored.buffer, stored.byteOffset);
  // the array's first byte; zip's own header, with the time of day, may hold a 10 as well
  stored[zipped.indexOf(10, zipped.indexOf('NUMPY')) + 1]! ^= 4;
  await fails(stored, /a\.npy: got a member that is not read \(Invalid CRC32/);
});

test('what is written is read back, with the header numpy writes', async () => {
  const array = { data: Int32Array.of(5, -6, 7, 2 ** 31 - 1, 0, -(2 ** 31)), shape: [2, 3] };
  assert.equal(values(parseNpy(writeNpy(array), 'a.npy')), values(array));
  assert.equal(Buffer.from(writeNpy({ data: [1, 2, 3], shape: [3] })).toString('base64'), PLAIN);
  const npz = await writeNpz({ one: array, two: { data: [], shape: [0] } });
  assert.equal(values((await parseNpz(npz, 'v.npz')).get('one')!), values(array));
  assert.equal(values((await parseNpz(npz, 'v.npz')).get('two')!), { data: [], shape: [0] });
  assert.equal(npz, await writeNpz({ one: array, two: { data: [], shape: [0] } }));
  // Stored, no data descriptor, and the date that numpy gives: 1980-01-01.
  const view = new DataView(npz.buffer);
  assert.equal(
    [view.getUint16(6, true), view.getUint16(8, true), view.getUint16(10, true), view.getUint16(12, true)],
    [0, 0, 0, 0x21],
  );
});

test.run();
