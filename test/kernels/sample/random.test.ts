// The processor's random numbers, in both builds: the same bits as everywhere, the same Gumbel
// numbers up to rounding, and the bound by which a draw leaves most of them out.
// Needs: no device.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { gumbel, threefry2x32 } from '../../../kernels/sample/random.ts';
import { lanesOf } from '../lanes.ts';

const test = suite('random lanes');
const builds = await lanesOf('random.as.ts', import.meta.url);

const asFloats = (words: Uint32Array): Float32Array => new Float32Array(words.buffer);

/** Bits at both ends, where v passes 1/4, of every size, and all over. */
const bits = Uint32Array.from({ length: 1 << 18 }, (_, i) => {
  if (i < 1024) return i;
  if (i < 2048) return -i + 1023;
  if (i < 3072) return 2 ** 30 - 512 + (i - 2048);
  if (i < 1 << 16) return 2 ** ((i / 65536) * 32);
  return Math.imul(i, 0x9e3779b1);
});

test('threefry in four lanes gives the bits of random.ts', () => {
  for (const { run } of builds)
    for (const [key0, key1, step] of [
      [0, 0, 0],
      [0xffffffff, 0xffffffff, 0xffffffff],
      [0x13198a2e, 0x03707344, 0x243f6a88],
    ] as const) {
      const x = new Float32Array(400);
      new Uint32Array(x.buffer).set([key0, key1, step]);
      const got = new Uint32Array(run('threefry', x).buffer);
      assert.equal(
        [...got],
        Array.from({ length: 400 }, (_, i) => threefry2x32([key0, key1], [step, i])[0]),
      );
    }
});

test('Gumbel numbers are within 1e-6 of f64, and of themselves, and below their bound', () => {
  for (const { build, run } of builds) {
    const numbers = run('gumbel', asFloats(bits));
    const bounds = run('bound', asFloats(bits));
    bits.forEach((word, i) => {
      const expected = gumbel(word);
      const error = Math.abs(numbers[i]! - expected);
      assert.ok(error <= 1e-6 * Math.max(1, Math.abs(expected)), `${build}: gumbel(${word}) is off by ${error}`);
      assert.ok(bounds[i]! > numbers[i]! && numbers[i]! < 23, `${build}: the bound of ${word} is ${bounds[i]}`);
      // It leaves out what it should: for a large number it is close.
      if (word > 255 && expected > 3) assert.ok(bounds[i]! - expected < 0.12, `${word}: ${bounds[i]} for ${expected}`);
    });
  }
});

test.run();
