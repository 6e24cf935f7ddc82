// Stored tensors to weights, bit for bit: every half, ties and ends of f32 → f16, bf16, padding,
// pieces of 8 MiB, rows to other rows. The reference are the integer conversions of
// runtime/base/half.ts, which test/runtime/base/half.test.ts checks against first principles.
// Needs: a device, on processors, default, portable and swiftshader.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { castRows, type SourceDType } from '../../../kernels/upload/cast.ts';
import { createMatrix, placeInPanels } from '../../../kernels/upload/matrix.ts';
import { bfloat16ToFloat32, float16ToFloat32, float32ToFloat16 } from '../../../runtime/base/half.ts';
import { padTo8 } from '../../../runtime/compute/tensor.ts';
import { testDevice } from '../../device.ts';
import { randomFloats } from '../../random.ts';

const test = suite('cast');
const device = await testDevice();
type Stored = Float32Array | Uint16Array;

const bytesOf = (a: Stored): Uint8Array<ArrayBuffer> =>
  new Uint8Array(a.buffer as ArrayBuffer, a.byteOffset, a.byteLength);
const dtypeOf = (a: Stored, bf16 = false): SourceDType => (a instanceof Float32Array ? 'F32' : bf16 ? 'BF16' : 'F16');
const asFloats = (a: Stored, dtype: SourceDType): Float32Array =>
  a instanceof Float32Array ? a : dtype === 'BF16' ? bfloat16ToFloat32(a) : float16ToFloat32(a);

interface Rows {
  bf16?: boolean;
  from?: number;
  until?: number;
  at?: number;
  rows?: number;
}

/**
 * Words or halves of y after rows [from, to) of `source` (N, k) went to rows `at` … of y (rows,
 * padded k), which held 0x5555 all over.
 */
async function cast(
  source: Stored,
  k: number,
  to: 'f16' | 'f32',
  { bf16 = false, from = 0, until = source.length / k, at = 0, rows = at + until - from }: Rows = {},
): Promise<{ bits: Uint16Array | Uint32Array; reads: number[] }> {
  const pitch = padTo8(k);
  const y = createMatrix(device, [rows, k], to, 'test', 'weights');
  device.write({ ...y, offset: 0 }, new Uint8Array(y.buffer.size).fill(0x55));
  const reads: number[] = [];
  const bytes = bytesOf(source);
  const read = async (start: number, end: number): Promise<Uint8Array<ArrayBuffer>> => {
    reads.push(end - start);
    return bytes.slice(start, end);
  };
  await castRows(
    device,
    y,
    { label: 'stored', shape: [source.length / k, k], dtype: dtypeOf(source, bf16), read },
    from,
    until,
    at,
  );
  const buffer = await device.read(y, 0, y.buffer.size);
  device.destroyBuffer(y.buffer);
  const stored = to === 'f16' ? new Uint16Array(buffer) : new Uint32Array(buffer);
  const bits = stored.slice(0, rows * pitch);
  if (device.kind === 'wasm')
    for (let row = 0; row < rows; row++)
      for (let c = 0; c < pitch; c++) bits[row * pitch + c] = stored[placeInPanels(row, c, pitch, to)]!;
  return { bits, reads };
}

/** The bits that row-major `floats` (N, k) should become, padded with zeros. */
function expected(floats: Float32Array, k: number, to: 'f16' | 'f32'): Uint16Array | Uint32Array {
  const pitch = padTo8(k);
  const padded = new Float32Array((floats.length / k) * pitch);
  for (let i = 0; i < floats.length; i++) padded[Math.floor(i / k) * pitch + (i % k)] = floats[i]!;
  return to === 'f16' ? float32ToFloat16(padded) : new Uint32Array(padded.buffer);
}

/** The same bits, where any NaN of the same sign is as good as another. */
function assertBits(actual: Uint16Array | Uint32Array, wanted: Uint16Array | Uint32Array): void {
  assert.is(actual.length, wanted.length);
  const [infinity, sign] = wanted instanceof Uint16Array ? [0x7c00, 0x8000] : [0x7f800000, 0x80000000];
  const nan = (bits: number): boolean => bits % sign > infinity;
  const wrong = [...wanted.keys()].filter(
    (i) =>
      actual[i] !== wanted[i] && !(nan(actual[i]!) && nan(wanted[i]!) && actual[i]! >= sign === wanted[i]! >= sign),
  );
  assert.is(
    wrong.length,
    0,
    wrong.length
      ? `${wrong.length} differ, first [${wrong[0]}]: got ${actual[wrong[0]!]!.toString(16)}, expected ${wanted[wrong[0]!]!.toString(16)}`
      : '',
  );
}

const halves = Uint16Array.from({ length: 65536 }, (_, i) => i);

test('all 65536 halves to f32', async () => {
  // 7 columns, so that rows start in the middle of words; 65536 = 7 · 9362 + 2.
  const source = Uint16Array.from({ length: 7 * 9363 }, (_, i) => halves[i % 65536]!);
  assertBits((await cast(source, 7, 'f32')).bits, expected(float16ToFloat32(source), 7, 'f32'));
});

test('all 65536 bfloat16 to f32 and to f16', async () => {
  for (const to of ['f32', 'f16'] as const)
    assertBits((await cast(halves, 8, to, { bf16: true })).bits, expected(bfloat16ToFloat32(halves), 8, to));
});

test('all halves come back from f32, and so do the ties between them and their neighbours', async () => {
  const finite = float16ToFloat32(halves).filter(Number.isFinite);
  const sorted = finite.slice().sort();
  const ties = sorted.slice(1).map((v, i) => (v + sorted[i]!) / 2);
  const word = new Uint32Array(1);
  const float = new Float32Array(word.buffer);
  const beside = (v: number, by: number): number => {
    float[0] = v;
    word[0]! += by;
    return float[0]!;
  };
  const special = Float32Array.of(
    65504,
    65519.996,
    65520,
    65536,
    1e30,
    3.4e38,
    Infinity,
    -65519.996,
    -65520,
    -Infinity,
    NaN,
    -NaN,
    0,
    -0,
    1.5e-45,
    -1.5e-45,
    2 ** -25,
    2 ** -26,
    5.9604645e-8,
    6.1e-5,
    6.1035156e-5,
    1.2e-38,
  );
  const source = Float32Array.from([
    ...finite,
    ...ties,
    ...[...ties].filter(Boolean).flatMap((v) => [beside(v, -1), beside(v, 1)]),
    ...special,
  ]);
  const even = source.slice(0, source.length - (source.length % 8));
  assertBits((await cast(even, 8, 'f16')).bits, expected(even, 8, 'f16'));
  const rest = source.slice(-24);
  assertBits((await cast(rest, 3, 'f16')).bits, expected(rest, 3, 'f16'));
});

test('rows are padded with zeros, whatever K is and wherever they go', async () => {
  for (const [k, n] of [
    [1, 5],
    [3, 7],
    [9, 3],
    [31, 33],
    [40, 3],
  ] as const) {
    for (const source of [randomFloats(n * k, k), float32ToFloat16(randomFloats(n * k, k))]) {
      for (const to of ['f16', 'f32'] as const) {
        const options = { from: 1, until: n - 1, at: 2, rows: n + 3 };
        const { bits } = await cast(source, k, to, options);
        const pitch = padTo8(k);
        const wanted = (
          to === 'f16' ? new Uint16Array(options.rows * pitch) : new Uint32Array(options.rows * pitch)
        ).fill(to === 'f16' ? 0x5555 : 0x55555555);
        wanted.set(expected(asFloats(source.slice(k, (n - 1) * k), dtypeOf(source)), k, to), 2 * pitch);
        assertBits(bits, wanted);
      }
    }
  }
});

const large = { F32: [4201, 511], F16: [8401, 1023] } as const;
for (const [dtype, [n, k]] of Object.entries(large)) {
  test(`${dtype} of more than 8 MiB goes in pieces and leaves nothing behind`, async () => {
    const floats = randomFloats(n * k, 3);
    const source = dtype === 'F32' ? floats : float32ToFloat16(floats);
    const wanted = expected(asFloats(source, dtypeOf(source)), k, 'f16');
    const held: number[] = [];
    for (let time = 0; time < 2; time++) {
      const { bits, reads } = await cast(source, k, 'f16');
      assert.ok(reads.length > 1 && reads.every((bytes) => bytes <= 8 << 20), `reads of ${reads}`);
      assert.is(
        reads.reduce((a, b) => a + b),
        source.byteLength,
      );
      assert.is(Buffer.compare(Buffer.from(bits.buffer), Buffer.from(wanted.buffer)), 0);
      held.push(device.memory().current); // the first read-back leaves its staging for the next
    }
    assert.is(held[1], held[0]);
  });
}

test('rows that need no change go as they are', async () => {
  if (device.kind === 'wasm') return; // there all rows become panels
  const source = float32ToFloat16(randomFloats(5001 * 1024, 3)); // 10 MiB
  const pipelines = device.counters.pipelines;
  const { bits, reads } = await cast(source, 1024, 'f16');
  assert.equal(reads, [8 << 20, source.byteLength - (8 << 20)]);
  assert.is(Buffer.compare(Buffer.from(bits.buffer), Buffer.from(source.buffer)), 0);
  assert.is(device.counters.pipelines, pipelines);
});

test.run();
