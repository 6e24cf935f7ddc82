// LayerNorm of many rows against f64, far from zero too: the two passes keep their digits where the
// mean is a thousand deviations. Tolerance: the mean of C values is off by sumError(C) of their
// size, which shifts every output by that over the deviation; the variance is a sum of squares, and
// rsqrt is good to 2 ulp (WGSL).
// Needs: a device, on processors, default, portable and swiftshader.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { layerNorm } from '../../../kernels/layer_norm/layer_norm.ts';
import { createUniform, writeCall } from '../../../kernels/state.ts';
import { record } from '../../../runtime/compute/program.ts';
import { testDevice } from '../../device.ts';
import { randomFloats } from '../../random.ts';
import * as reference from '../../../kernels/layer_norm/reference.ts';
import { assertWithin, download, filled, free, ROUNDING, sumError, UNTOUCHED, upload } from '../tensors.ts';

const test = suite('layer_norm');
const device = await testDevice();

async function run(
  xs: Float32Array,
  weight: Float32Array,
  bias: Float32Array | null,
  m: number,
  count: number,
): Promise<Float32Array> {
  const c = weight.length;
  const [x, y, w] = [await upload(xs, [m, c]), await upload(filled(m * c), [m, c]), await upload(weight, [c])];
  const b = bias && (await upload(bias, [c]));
  const call = createUniform(device, 3, 'test', 'call');
  writeCall(device, call, { count, start: 5, slot: 1 });
  const program = await record(device, (r) => layerNorm(r, y, x, { weight: w, bias: b }, call), {
    label: 'layer_norm',
  });
  program.run();
  const result = await download(y);
  program.dispose();
  await free(x, y, w, b, call);
  return result;
}

async function compare(
  m: number,
  c: number,
  count: number,
  { bias = true, offset = 0, scale = 2 } = {},
): Promise<void> {
  const xs = randomFloats(m * c, 1, scale).map((v) => v + offset);
  const weight = randomFloats(c, 2, 3);
  const bs = bias ? randomFloats(c, 3) : null;
  const values = reference.layerNorm(xs, weight, bs, m);
  const rows = reference.moments(xs, m, c);
  const expected = values.map((v, i) => (i < count * c ? v : UNTOUCHED));
  const allowed = values.map((_, i) => {
    if (i >= count * c) return 0;
    const { mean, variance } = rows[Math.floor(i / c)]!;
    const rstd = 1 / Math.sqrt(variance + 1e-5);
    const normal = Math.abs(xs[i]! - mean) * rstd;
    const meanSize = (Math.abs(mean) + Math.sqrt(variance)) * rstd;
    return (
      Math.abs(weight[i % c]!) * (sumError(c) * (meanSize + normal) + 4 * ROUNDING * normal) +
      2 * ROUNDING * Math.abs(bs?.[i % c] ?? 0)
    );
  });
  assertWithin(await run(xs, weight, bs, m, count), expected, allowed, `(${m}, ${c}) count ${count} offset ${offset}`);
}

for (const [m, c] of [
  [1, 8],
  [5, 24],
  [33, 40],
  [3, 64],
  [2, 72],
  [65, 120],
  [31, 192],
  [129, 256],
  [2, 264],
  [4, 768],
] as const) {
  test(`(${m}, ${c})`, async () => {
    await compare(m, c, m, { bias: c % 3 === 0 });
    await compare(m, c, m - 1);
  });
}

test('means of 1000 deviations, tiny and huge rows', async () => {
  await compare(3, 192, 3, { offset: 1000, scale: Math.sqrt(3) });
  await compare(3, 72, 3, { scale: 1e-4 }); // eps is most of the variance
  await compare(3, 72, 3, { scale: 1e15 });
});

test('a row without variance becomes the bias', async () => {
  const c = 24;
  const bias = randomFloats(c, 3);
  const xs = Float32Array.from({ length: 2 * c }, (_, i) => (i < c ? 0 : -3));
  const y = await run(xs, randomFloats(c, 2), bias, 2, 2);
  assert.equal(
    y,
    Float32Array.from({ length: 2 * c }, (_, i) => bias[i % c]!),
  );
});

test.run();
