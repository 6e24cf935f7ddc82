// linearDecode in batches: a sentence gives the same bits alone and among others, on any adapter.
// Needs: a device, on processors, default, portable, swiftshader and subgroup_matrix.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { linearDecode } from '../../../kernels/linear/linear.ts';
import { record, type Recorder } from '../../../runtime/compute/program.ts';
import { testDevice } from '../../device.ts';
import { randomFloats } from '../../random.ts';
import { freeLinear, randomLinear, stateOf } from '../decode.ts';
import { download, filled, free, onlyFull, upload } from '../tensors.ts';
import { gemvVariant, type Linear, type GemvOptions } from '../../../kernels/common/products.ts';

const test = suite('linear_decode_batch');

const device = await testDevice();

for (const variant of [{}, ...onlyFull<GemvOptions>({ rows: 4, threads: 128, split: 4, ahead: 1 })])
  test(`a sentence says the same, bit for bit, alone and in a batch: ${JSON.stringify(variant)}`, async () => {
    const [n, k, batch] = [37, 776, 7];
    const layer = await randomLinear(device, n, k, 'f16', { norm: true, beta: true, bias: true });
    const xs = randomFloats(batch * k, 1, 2);
    const said = async (rows: Float32Array, tile: number): Promise<Float32Array> => {
      const m = rows.length / k;
      const [x, y] = [await upload(rows, [m, k]), await upload(filled(m * n), [m, n])];
      const state = stateOf(
        device,
        Array.from({ length: m }, () => ({})),
      );
      const program = await record(device, (r) => linearDecode(r, y, x, layer.gpu, state, { ...variant, tile }), {
        label: 'linear_decode',
      });
      program.run();
      const values = await download(y);
      program.dispose();
      await free(x, y, state);
      return values;
    };
    const [together, apart] = [await said(xs, 8), await said(xs, 1)];
    assert.equal(together, apart);
    for (const b of [0, 6])
      assert.equal(
        together.subarray(b * n, (b + 1) * n),
        await said(xs.subarray(b * k, (b + 1) * k), 8),
        `sentence ${b}`,
      );
    await freeLinear(layer);
  });

test('on any adapter the batch has no part in the order of sums, and rows are split into halves, quarters, …', () => {
  const adapters = [
    ['NVIDIA H200', 32, 49152, 1024],
    ['Adreno', 128, 32768, 1024],
    ['Intel Arc', 32, 32768, 1024],
    ['no subgroups', 0, 16384, 256],
    ['no subgroups', 0, 32768, 1024],
    ['llvmpipe', 8, 32768, 1024],
    ['SwiftShader', 4, 16384, 256],
  ] as const;
  for (const [description, lanes, memory, invocations] of adapters) {
    const device = {
      info: { description, vendor: '', architecture: '', device: '' },
      tuning: {},
      limits: { maxComputeWorkgroupStorageSize: memory, maxComputeInvocationsPerWorkgroup: invocations },
      capabilities: {
        subgroups: lanes > 0,
        subgroupMinSize: Math.min(lanes, 8),
        subgroupMaxSize: lanes,
        f16: false,
        timestamps: false,
        subgroupMatrices: [],
      },
    };
    for (const [n, k] of [
      [3072, 1024],
      [1024, 1024],
      [4096, 1024],
      [1024, 4096],
      [10048, 1024],
      [2304, 768],
      [6, 8],
      [1, 72],
    ] as const) {
      for (const rows of [1, 2, 4]) {
        const weight = { shape: [n, k], dtype: 'f16', label: 'w', offset: 0 } as unknown as Linear['weight'];
        const variants = [1, 2, 5, 8, 16].map((batch) =>
          gemvVariant(
            { device } as unknown as Recorder,
            'linear_decode',
            { weight, bias: null, norm: null, terms: null },
            batch,
            n,
            { rows },
          ),
        );
        const what = `${description}, (${n}, ${k}), ${rows} rows`;
        for (const {
          overrides: { WG = 0, LANES = 0, SPLIT = 0, R = 0 },
          ...variant
        } of variants) {
          assert.equal([WG, SPLIT], [variants[0]!.overrides.WG, variants[0]!.overrides.SPLIT], what);
          assert.ok(
            Number.isInteger(Math.log2(SPLIT)) && (WG / LANES) % SPLIT === 0 && SPLIT * LANES <= Math.max(LANES, k / 8),
            `${what}: split ${SPLIT}`,
          );
          assert.is(variant.rows, (R * WG) / LANES / SPLIT, what);
          assert.is(variant.rows % 2, 0, what);
        }
      }
    }
  }
});

test.run();
