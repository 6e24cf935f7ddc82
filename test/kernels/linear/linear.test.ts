// The product of many rows against f64, with each epilogue, over shapes that end in the middle of a
// tile; rows past call.count stay. Tolerance: f32 sums of K products, in units of their rounding
// and relative to Σ|x·w| (tensors.ts, sumError); GELU adds what it rounds itself, and stretches an
// error by at most 1.13, its steepest slope. The matrix form rounds
// x to f16 beside f16 weights (tensors.ts, productError): it runs on x as it is, and within the
// bound of the others on x that is f16 already.
// Needs: a device, on processors, default, portable, swiftshader and subgroup_matrix.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { variantsOf } from '../../../kernels/common/choices.ts';
import { linear } from '../../../kernels/linear/linear.ts';
import { createUniform, writeCall } from '../../../kernels/state.ts';
import { ShapeError } from '../../../runtime/base/errors.ts';
import { record } from '../../../runtime/compute/program.ts';
import { testDevice } from '../../device.ts';
import { randomFloats } from '../../random.ts';
import * as reference from '../../../kernels/linear/reference.ts';
import { variantCases, type VariantCase } from '../variants.ts';
import {
  assertWithin,
  download,
  filled,
  free,
  onlyFull,
  productError,
  ROUNDING,
  runOnce,
  stored,
  UNTOUCHED,
  upload,
  uploadWeights,
} from '../tensors.ts';

const test = suite('linear');
const device = await testDevice();

interface Case {
  /** How many rows there are; M is not part of a pipeline, so these are cheap. */
  ms: number[];
  k: number;
  n: number;
  dtype: 'f16' | 'f32';
  bias?: boolean;
  gelu?: boolean;
  residual?: boolean;
}

async function compare({ ms, ...c }: Case, { exact, ...which }: VariantCase): Promise<void> {
  const { k, n, dtype } = c;
  const ws = stored(randomFloats(n * k, 2), dtype);
  const bs = c.bias ? randomFloats(n, 3, 4) : null;
  const w = await uploadWeights(ws, [n, k], dtype);
  const bias = bs && (await upload(bs, [n]));
  const call = createUniform(device, 3, 'test', 'call');
  for (const m of ms) {
    const xs = stored(randomFloats(m * k, 1, 2), exact ? 'f16' : 'f32');
    const before = c.residual ? randomFloats(m * n, 4, 8) : filled(m * n);
    const [x, y] = [await upload(xs, [m, k]), await upload(before, [m, n])];
    const program = await record(
      device,
      (r) =>
        linear(r, y, x, { weight: w, bias }, call, { gelu: c.gelu ?? false, residual: c.residual ?? false, ...which }),
      { label: 'linear' },
    );
    const product = reference.linear(xs, ws, bs, [m, n, k]);
    for (const count of new Set([0, 1, m - 1, m])) {
      device.write(y, before);
      writeCall(device, call, { count });
      program.run();
      const here = (i: number): boolean => i < count * n;
      const expected = product.values.map((v, i) =>
        here(i) ? (c.gelu ? reference.gelu(v) : v) + (c.residual ? before[i]! : 0) : before[i]!,
      );
      const allowed = product.sizes.map((size, i) => {
        const erfError = c.gelu ? 1e-7 * Math.abs(product.values[i]!) + 2 * ROUNDING : 0;
        return here(i)
          ? 1.13 * productError(k, dtype === 'f16' ? which.variant : 'tile', exact) * size +
              erfError +
              ROUNDING * Math.abs(expected[i]!)
          : 0;
      });
      assertWithin(await download(y), expected, allowed, JSON.stringify({ m, count, exact, ...which, ...c }));
    }
    program.dispose();
    await free(x, y);
  }
  await free(w, bias, call);
}

const cases: Case[] = [
  { ms: [1, 2, 64, 129], k: 72, n: 130, dtype: 'f16', bias: true, residual: true },
  { ms: [5, 31, 63, 65], k: 24, n: 33, dtype: 'f32', bias: true, gelu: true },
  { ms: [3, 33], k: 768, n: 7, dtype: 'f16', gelu: true },
  { ms: [1, 65, 150], k: 40, n: 268, dtype: 'f16', bias: true, gelu: true, residual: true },
  ...onlyFull<Case>(
    { ms: [1, 2, 3], k: 8, n: 1, dtype: 'f32' },
    { ms: [1, 65], k: 40, n: 1, dtype: 'f16', residual: true },
    { ms: [64, 129], k: 64, n: 65, dtype: 'f32', bias: true, gelu: true },
    { ms: [63], k: 120, n: 8, dtype: 'f32', residual: true },
    { ms: [3], k: 192, n: 1000, dtype: 'f16', bias: true, gelu: true, residual: true },
    { ms: [5, 33], k: 768, n: 64, dtype: 'f32', bias: true },
    { ms: [65], k: 16, n: 128, dtype: 'f16' },
    { ms: [31, 33], k: 776, n: 36, dtype: 'f16', bias: true },
    { ms: [2], k: 8, n: 4, dtype: 'f16', residual: true },
  ),
];
for (const which of variantCases(device))
  for (const c of cases)
    test(`${JSON.stringify(which)}: (M, ${c.k}) · (${c.n}, ${c.k}) ${c.dtype}${c.bias ? ' + bias' : ''}${c.gelu ? ', GELU' : ''}${c.residual ? ', residual' : ''}`, () =>
      compare(c, which));

/** GELU of each value, by each variant, is `expected` within `allowed`. */
async function compareGelu(
  values: Float32Array,
  expected: ArrayLike<number>,
  allowed: ArrayLike<number>,
): Promise<void> {
  const n = values.length;
  const x = await upload(Float32Array.of(1, 0, 0, 0, 0, 0, 0, 0), [1, 8]);
  const w = await uploadWeights(
    Float32Array.from({ length: 8 * n }, (_, i) => (i % 8 ? 0 : values[i / 8]!)),
    [n, 8],
  );
  const y = await upload(filled(n), [1, n]);
  const call = createUniform(device, 3, 'test', 'call');
  writeCall(device, call, { count: 1 });
  for (const variant of variantsOf(device)) {
    await runOnce((r) => linear(r, y, x, { weight: w, bias: null }, call, { gelu: true, variant }));
    assertWithin(await download(y), expected, allowed, `gelu ${variant}`);
  }
  await free(x, w, y, call);
}

test('GELU where erf ends, and far out', async () => {
  const values = Float32Array.of(-1e30, -300, -6, -3.5, -1e-3, -1e-20, 0, 1e-20, 1e-3, 0.7517, 3.5, 6, 300, 1e30);
  await compareGelu(
    values,
    values.map(reference.gelu),
    values.map((v) => 1.5e-7 * Math.abs(v)),
  );
});

test('GELU on a dense grid: the error of its erf is at most 2e-8, and what f32 rounds', async () => {
  const values = Float32Array.from({ length: 16_001 }, (_, i) => (i - 8000) / 1000);
  const expected = Float64Array.from(values, reference.gelu);
  // Half of 2e-8 for each unit of x; 8 units in the last place for division, exp and polynomial
  // of the tail 0.5 · |x| · erfc (WGSL lets exp alone be 3 off); the rounding of the result.
  const allowed = Float64Array.from(
    values,
    (v, i) => 1e-8 * Math.abs(v) - 16 * ROUNDING * reference.gelu(-Math.abs(v)) + ROUNDING * Math.abs(expected[i]!),
  );
  await compareGelu(values, expected, allowed);
});

test('the matrix variant holds x at ±65504, and f32 weights do without it', async () => {
  if (!variantsOf(device).includes('subgroup_matrix')) return;
  const xs = Float32Array.of(1e6, 0, 0, 0, 0, 0, 0, 0, 0, -3e38, 0, 0, 0, 0, 0, 65519);
  const ws = Float32Array.of(
    1,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0.5,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    1,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
  );
  const [x, y] = [await upload(xs, [2, 8]), await upload(filled(8), [2, 4])];
  const call = createUniform(device, 3, 'test', 'call');
  writeCall(device, call, { count: 2 });
  const product = async (dtype: 'f16' | 'f32'): Promise<number[]> => {
    const w = await uploadWeights(ws, [4, 8], dtype);
    await runOnce((r) => linear(r, y, x, { weight: w, bias: null }, call, { variant: 'subgroup_matrix' }));
    await free(w);
    return [...(await download(y))];
  };
  assert.equal(await product('f16'), [65504, 0, 0, 0, 0, -32752, 65504, 0]);
  assert.equal(await product('f32'), [1e6, 0, 0, 0, 0, Math.fround(Math.fround(-3e38) / 2), 65519, 0]);
  await free(x, y, call);
});

test('shapes that do not fit are refused', async () => {
  const [x, w, y] = [
    await upload(filled(16), [2, 8]),
    await upload(filled(24), [3, 8]),
    await upload(filled(6), [2, 3]),
  ];
  const call = createUniform(device, 3, 'test', 'call');
  const refuses = async (body: Parameters<typeof runOnce>[0], message: RegExp): Promise<void> => {
    try {
      await runOnce(body);
    } catch (error) {
      assert.instance(error, ShapeError);
      assert.match((error as Error).message, message);
      return;
    }
    assert.unreachable(`expected ${message}`);
  };
  await refuses(
    (r) => linear(r, x, x, { weight: w, bias: null }, call),
    /^linear: y \(test\) has shape \(2, 8\), expected \(2, 3\)/,
  );
  await refuses(
    (r) => linear(r, y, { ...x, shape: [4, 4] }, { weight: w, bias: null }, call),
    /x \(test\) has shape \(4, 4\)/,
  );
  await refuses((r) => linear(r, y, x, { weight: w, bias: x }, call), /bias \(test\) has shape/);
  await refuses((r) => linear(r, y, x, { weight: { ...w, shape: [6, 4] }, bias: null }, call), /K a multiple of 8/);
  await refuses(
    (r) => linear(r, y, x, { weight: { ...w, dtype: 'u32' }, bias: null }, call),
    /weight \(test\) is u32, expected f16 or f32/,
  );
  assert.equal(await download(y), filled(6, UNTOUCHED));
  await free(x, w, y, call);
});

test.run();
