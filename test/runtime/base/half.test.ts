// Halves against first principles: what a bit pattern means is computed in f64 from its fields, and
// rounding is checked by exact comparison with the two neighbouring halves. Every one of the 65536
// patterns, and every tie between neighbours.
// Needs: no device.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  bfloat16ToFloat32,
  float16ToFloat32,
  float32ToBfloat16,
  float32ToFloat16,
} from '../../../runtime/base/half.ts';

const test = suite('half');
const all = Uint16Array.from({ length: 65536 }, (_, i) => i);

/** The value of a binary format with `e` exponent and `m` mantissa bits, in f64. */
function meaning(bits: number, e: number, m: number): number {
  const sign = bits >>> 15 ? -1 : 1;
  const exponent = (bits >>> m) & (2 ** e - 1);
  const mantissa = bits & (2 ** m - 1);
  const bias = 2 ** (e - 1) - 1;
  if (exponent === 2 ** e - 1) return mantissa ? NaN : sign * Infinity;
  if (exponent === 0) return sign * mantissa * 2 ** (1 - bias - m);
  return sign * (1 + mantissa / 2 ** m) * 2 ** (exponent - bias);
}

const formats = [
  { name: 'float16', e: 5, m: 10, largest: 65504, widen: float16ToFloat32, narrow: float32ToFloat16 },
  {
    name: 'bfloat16',
    e: 8,
    m: 7,
    largest: (2 - 2 ** -7) * 2 ** 127,
    widen: bfloat16ToFloat32,
    narrow: float32ToBfloat16,
  },
];

for (const { name, e, m, largest, widen, narrow } of formats) {
  test(`${name}: every pattern means what its fields say`, () => {
    const floats = widen(all);
    const wrong = all.filter((bits) => !Object.is(floats[bits], meaning(bits, e, m)));
    assert.equal([...wrong], []);
  });

  test(`${name}: every pattern survives the round trip, NaN as a NaN of its sign`, () => {
    const back = narrow(widen(all));
    const wrong = all.filter((bits) =>
      Number.isNaN(meaning(bits, e, m))
        ? !Number.isNaN(meaning(back[bits]!, e, m)) || back[bits]! >>> 15 !== bits >>> 15
        : back[bits] !== bits,
    );
    assert.equal([...wrong], []);
  });

  test(`${name}: ties go to the even neighbour, all else to the nearer one`, () => {
    // Between each half and the next above it in magnitude: the midpoint, and the float32 values
    // just beside it.
    const infinity = (2 ** e - 1) << m;
    const word = new Float32Array(1);
    const bits = new Uint32Array(word.buffer);
    const wrong: number[] = [];
    for (let low = 0; low < infinity; low++) {
      const above = low + 1 === infinity ? largest + 2 ** (Math.floor(Math.log2(largest)) - m) : meaning(low + 1, e, m);
      const middle = (meaning(low, e, m) + above) / 2;
      word[0] = middle;
      if (word[0] !== middle) throw new Error(`the midpoint after ${low} is no float32`);
      const tie = bits[0]!;
      for (const [pattern, expected] of [
        [tie, low + (low & 1)],
        [tie - 1, low],
        [tie + 1, low + 1],
      ] as const) {
        for (const sign of [0, 1]) {
          bits[0] = (pattern | (sign << 31)) >>> 0;
          if (narrow(word)[0] !== ((expected | (sign << 15)) & 0xffff)) wrong.push(word[0]!);
        }
      }
    }
    assert.equal(wrong, []);
  });
}

test('float16: what is out of range', () => {
  const floats = Float32Array.of(
    65519.996,
    65520,
    1e30,
    -1e30,
    Infinity,
    -Infinity,
    2 ** -25,
    2 ** -149,
    -(2 ** -149),
    NaN,
  );
  assert.equal([...float32ToFloat16(floats)], [0x7bff, 0x7c00, 0x7c00, 0xfc00, 0x7c00, 0xfc00, 0, 0, 0x8000, 0x7e00]);
});

test('a part of a buffer, and nothing', () => {
  assert.equal([...float32ToFloat16(new Float32Array([9, 1, -2, 9]).subarray(1, 3))], [0x3c00, 0xc000]);
  assert.equal([...float16ToFloat32(new Uint16Array([0, 0x3c00, 0xc000]).subarray(1))], [1, -2]);
  assert.is(float32ToBfloat16(new Float32Array(0)).length, 0);
});

test.run();
