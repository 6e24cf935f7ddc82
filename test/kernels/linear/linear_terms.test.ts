// The terms of a folded LayerNorm against sums in f64. Tolerance: f32 sums of K products
// (tensors.ts, sumError).
// Needs: a device, on processors, default, portable, swiftshader and subgroup_matrix.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { linearTerms } from '../../../kernels/linear/linear_terms.ts';
import { testDevice } from '../../device.ts';
import { freeLinear, randomLinear } from '../decode.ts';
import { assertWithin, download, onlyFull, sumError } from '../tensors.ts';

const test = suite('linear_terms');
const device = await testDevice();

for (const [n, k, dtype] of [
  [130, 72, 'f16'],
  ...onlyFull([7, 768, 'f32'] as const, [1, 8, 'f32'] as const),
] as const) {
  for (const parts of [
    { norm: true },
    { beta: true },
    { bias: true },
    { norm: true, bias: true },
    { beta: true, bias: true },
  ]) {
    test(`(${n}, ${k}) ${dtype} ${JSON.stringify(parts)}`, async () => {
      const layer = await randomLinear(device, n, k, dtype, parts);
      const expected = new Float64Array(2 * n);
      const allowed = new Float64Array(2 * n);
      for (let r = 0; r < n; r++) {
        expected[n + r] = layer.bias?.[r] ?? 0;
        allowed[n + r] = sumError(k) * Math.abs(expected[n + r]!);
        for (let c = 0; c < k; c++) {
          const [s, b] = [
            layer.weight[r * k + c]! * (layer.gain?.[c] ?? 0),
            layer.weight[r * k + c]! * (layer.beta?.[c] ?? 0),
          ];
          expected[r]! += s;
          expected[n + r]! += b;
          allowed[r]! += sumError(k) * Math.abs(s);
          allowed[n + r]! += sumError(k) * Math.abs(b);
        }
      }
      assertWithin(await download(layer.gpu.terms!), expected, allowed, 'terms');
      await freeLinear(layer);
    });
  }
}

test('nothing to fold makes no terms, and only the terms stay in memory', async () => {
  const bare = await randomLinear(device, 3, 8, 'f16', {});
  assert.is(bare.gpu.terms, null);
  const layer = await randomLinear(device, 3, 8, 'f16', { beta: true, bias: true });
  const before = device.memory().current;
  const terms = await linearTerms(device, layer.gpu, 'test');
  assert.is(device.memory().current - before, 32); // 2 · 3 floats in whole vec4s
  assert.equal(await download(terms!), await download(layer.gpu.terms!));
  device.destroyBuffer(terms!.buffer);
  await freeLinear(bare);
  await freeLinear(layer);
});

test.run();
