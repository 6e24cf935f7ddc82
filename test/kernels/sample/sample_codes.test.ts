// The fine model's draw against the f64 reference: argmax, the very draw, its distribution, and
// which codes are left alone.
// Needs: a device, on processors, default, portable and swiftshader.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { threefry2x32, type Words } from '../../../kernels/sample/random.ts';
import {
  sampleCodes,
  SAMPLING_CODES_WORDS,
  samplingCodesParams,
  type SamplingCodes,
} from '../../../kernels/sample/sample_codes.ts';
import { USAGE } from '../../../runtime/compute/backend.ts';
import { record } from '../../../runtime/compute/program.ts';
import { testDevice } from '../../device.ts';
import { randomFloats } from '../../random.ts';
import { expectedDraw, filtered } from '../../../kernels/sample/reference.ts';
import { chiSquare } from './chi_square.ts';

const seed: Words = [11, 22];
const KEPT = 1024; // what codes hold before
const PLAIN: SamplingCodes = { temperature: null, start: 0, column: 2, count: 1024, seed, window: 0 };

/** All codes (positions, codebooks) after one run for each of the settings. */
async function codesOf(
  values: Float32Array,
  positions: number,
  codebooks: number,
  ...runs: SamplingCodes[]
): Promise<Uint32Array> {
  const device = await testDevice();
  const logits = device.createTensor([positions, values.length / positions], 'f32', 'test');
  const codes = device.createTensor([positions, codebooks], 'u32', 'test');
  const sampling = {
    buffer: device.createBuffer(4 * SAMPLING_CODES_WORDS, USAGE.UNIFORM | USAGE.COPY_DST, 'test'),
    offset: 0,
    shape: [SAMPLING_CODES_WORDS],
    dtype: 'u32' as const,
    label: 'sampling',
  };
  const program = await record(device, (r) => sampleCodes(r, codes, logits, sampling), { label: 'sample_codes' });
  device.write(logits, values);
  device.write(codes, new Uint32Array(positions * codebooks).fill(KEPT));
  for (const settings of runs) {
    device.write(sampling, samplingCodesParams(settings));
    program.run();
  }
  const result = new Uint32Array(await device.read(codes));
  program.dispose();
  for (const t of [logits, codes, sampling]) device.destroyBuffer(t.buffer);
  return result;
}

const column = (codes: Uint32Array, codebooks: number, at: number): number[] =>
  [...codes].filter((_, i) => i % codebooks === at);

const test = suite('sample_codes');

test('argmax of the first `count` logits, the lowest index on ties; other codes stay', async () => {
  for (const [positions, width, count, codebooks] of [
    [1, 1, 1, 3],
    [5, 2, 2, 8],
    [3, 63, 63, 8],
    [7, 64, 64, 5],
    [7, 65, 65, 8],
    [4, 257, 200, 8],
    [9, 1056, 1024, 8],
  ] as const) {
    const values = randomFloats(positions * width, width, 8);
    const start = Math.floor(positions / 3);
    const expected = Array.from({ length: positions }, (_, t) => {
      const row = values.subarray(t * width, t * width + count);
      if (t % 2) row[(t * 31) % count] = row[count - 1] = 9;
      return t < start ? KEPT : row.indexOf(Math.max(...row));
    });
    const codes = await codesOf(values, positions, codebooks, { ...PLAIN, start, count });
    for (let c = 0; c < codebooks; c++)
      assert.equal(
        column(codes, codebooks, c),
        c === 2 ? expected : Array(positions).fill(KEPT),
        `${width} logits, column ${c}`,
      );
  }
});

test('draws exactly what the formula gives', async () => {
  for (const [positions, width, count] of [
    [12, 1, 1],
    [12, 2, 2],
    [12, 63, 63],
    [12, 65, 64],
    [12, 257, 257],
    [60, 1056, 1024],
  ] as const) {
    const values = randomFloats(positions * width, 3 * width, 3);
    const settings = { ...PLAIN, temperature: 0.5, start: 2, column: 7, count, window: 3 };
    const drawn = column(await codesOf(values, positions, 8, settings), 8, 7);
    const key = threefry2x32(seed, [3, 7]);
    for (let t = 0; t < positions; t++) {
      const probabilities = filtered(values.subarray(t * width, t * width + count), {
        temperature: 0.5,
        topK: null,
        topP: null,
      });
      const { index, gap } = expectedDraw(probabilities, key, t);
      if (t < 2) assert.is(drawn[t], KEPT);
      else if (gap > 1e-4) assert.is(drawn[t], index, `${count} logits, position ${t}, gap ${gap}`);
    }
  }
});

test('the distribution is softmax(logits / temperature) (χ²), and no other', async () => {
  const [positions, count] = [20_000, 40];
  const row = randomFloats(count, 4, 2);
  const values = new Float32Array(positions * count);
  for (let t = 0; t < positions; t++) values.set(row, t * count);
  const drawn = column(await codesOf(values, positions, 3, { ...PLAIN, temperature: 0.8, count }), 3, 2);
  const at = (temperature: number): number => chiSquare(drawn, filtered(row, { temperature, topK: null, topP: null }));
  assert.ok(at(0.8) > 1e-4, `p ${at(0.8)}`);
  assert.ok(at(0.88) < 1e-4 && at(0.72) < 1e-4, 'temperature ± 10 %');
});

test('another window and another codebook draw fresh numbers; the same ones repeat', async () => {
  const [positions, count] = [50, 100];
  const values = new Float32Array(positions * count);
  const base = { ...PLAIN, temperature: 1, count };
  const first = column(await codesOf(values, positions, 4, base), 4, 2);
  const again = await codesOf(values, positions, 4, { ...base, window: 5 }, { ...base, column: 3 }, base);
  const other = column(await codesOf(values, positions, 4, { ...base, window: 5 }), 4, 2);
  assert.equal(column(again, 4, 2), first);
  const same = (a: number[], b: number[]): number => a.filter((x, i) => x === b[i]).length;
  assert.ok(same(first, other) < 5 && same(first, column(again, 4, 3)) < 5, 'more equal draws than chance explains');
});

test.run();
