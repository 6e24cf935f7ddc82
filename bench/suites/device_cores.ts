// How near the kernels for processors come to what the processor can do, for the suite `device`.
// Both sides are measured in one run and with all threads: a walk over weights that no cache holds
// beside a copy, and products of many rows beside multiply-adds that touch no memory.

import type { Device } from '../../runtime/compute/device.ts';
import { record, type Recorder } from '../../runtime/compute/program.ts';
import type { Tensor } from '../../runtime/compute/tensor.ts';
import { linearDecode } from '../../kernels/linear/linear.ts';
import type { Linear } from '../../kernels/common/products.ts';
import { GptInputs, X } from '../cases/inputs.ts';
import { dot, expectCase, places, type Case } from '../cases/case.ts';
import { product } from '../cases/products.ts';
import { basisMs, measure } from '../measure/gpu_time.ts';
import { rounded, type BenchOptions } from '../measure/harness.ts';
import { machineOf } from '../measure/machine.ts';
import type { CoreCases, Say } from '../measure/device_report.ts';
import { MODELS } from '../model/inventory.ts';
import { series } from '../model/values.ts';
import { benchShader } from '../shaders.ts';

export const CORE_CASES: CoreCases = {
  copyBytes: 256 << 20,
  weightBytes: 220 << 20, // more than a processor's caches hold, as a model's weights are
  rounds: 2_000_000,
  products: [
    [1008, 768, 768],
    [1024, 3072, 768],
    [1024, 768, 3072],
  ],
};

const [N, K] = [3072, 768]; // of a matrix of the walk, the first product of a feed-forward block
const CHAINS = 12; // of multiply_add
const GPU_THREADS = 256 * 512; // that multiply_add runs with where it is no processor

interface Owner {
  readonly name: string;
}

export async function cores(device: Device, cases: CoreCases, options: BenchOptions, say: Say): Promise<void> {
  const time = async (record_: (r: Recorder) => void, check: () => Promise<void>): Promise<number> => {
    const program = await record(device, record_, { label: 'cores' });
    try {
      program.run();
      await check();
      const timing = { repeats: options.repeats, budgetMs: options.quick ? 1000 : 5000 };
      return basisMs(device, await measure(device, (times) => program.run(times), timing));
    } finally {
      program.dispose();
    }
  };
  const part = async <T>(run: (owner: Owner) => Promise<T>): Promise<T> => {
    const owner = { name: 'bench cores' };
    try {
      return await run(owner);
    } finally {
      device.destroyOwned(owner);
    }
  };

  const copyGBps = await part((owner) => copyRate(device, cases.copyBytes, owner, time));
  say('copy, a kernel', rounded(copyGBps, 2), 'GB/s, read and written', { bytes: cases.copyBytes });
  await part(async (owner) => {
    const { bytes, ms } = await walk(device, cases.weightBytes, owner, time);
    const rate = bytes / ms / 1e6;
    say(`walk over f16 weights, linear_decode (${N}, ${K})`, rounded(rate, 2), 'GB/s, read', { bytes });
    say('walk / copy', rounded(rate / copyGBps, 3), 'of bytes moved');
  });

  const peak = await part((owner) => multiplyAddRate(device, cases.rounds, owner, time));
  say('multiply-adds of 4 lanes', rounded(peak, 1), 'GFLOP/s', { detail: device.info.architecture });
  const { hidden_size: hidden, num_heads: heads } = MODELS.small;
  const inputs = new GptInputs(device, { hidden, heads, semanticHead: 0, codebook: 0 }, 'float16');
  for (const [m, n, k] of cases.products)
    await part(async (owner) => {
      const made: Case = await product(inputs, 'linear', m, n, k)(owner);
      const ms = await time(
        (r) => made.record(r),
        async () => void (await expectCase(device, made)),
      );
      const rate = made.flops / ms / 1e6;
      say(`product ${m} × ${n} × ${k}`, rounded(rate, 1), 'GFLOP/s', { detail: made.shape });
      say(`product ${m} × ${n} × ${k} / multiply-adds`, rounded(rate / peak, 3), 'of operations');
    });
}

type Time = (record: (r: Recorder) => void, check: () => Promise<void>) => Promise<number>;

/** GB/s of a copy by a kernel, read and written bytes both counted. */
async function copyRate(device: Device, bytes: number, owner: Owner, time: Time): Promise<number> {
  const words = bytes / 4;
  const [x, y] = ['x', 'y'].map((name) => device.createTensor([words], 'u32', owner, name)) as [Tensor, Tensor];
  const piece = Uint32Array.from({ length: (1 << 20) / 4 }, (_, i) => Math.imul(i + 1, 2654435761));
  for (let at = 0; at < bytes; at += piece.byteLength) device.write(x, piece, at);
  const grid = [Math.min(65_535, Math.ceil(bytes / 16 / 256))] as const;
  const ms = await time(
    (r) => r.dispatch(benchShader('copy'), { bind: { sizes: [bytes / 16, 0, 0, 0], x, y }, grid }),
    async () => {
      for (const at of [0, Math.floor(bytes / piece.byteLength / 2) * piece.byteLength, bytes - piece.byteLength]) {
        const got = new Uint32Array(await device.read(y, at, piece.byteLength));
        const wrong = got.findIndex((v, i) => v !== piece[i]);
        if (wrong >= 0)
          throw new Error(
            `copy of ${bytes} bytes: got ${got[wrong]} at byte ${at + 4 * wrong}, expected ${piece[wrong]}.`,
          );
      }
    },
  );
  return (2 * bytes) / ms / 1e6;
}

/** One product after the other with matrices that together are `atLeast` bytes. */
async function walk(device: Device, atLeast: number, owner: Owner, time: Time): Promise<{ bytes: number; ms: number }> {
  const inputs = new GptInputs(device, { hidden: K, heads: 1, semanticHead: 0, codebook: 0 }, 'float16');
  const count = Math.ceil(atLeast / (2 * N * K));
  const layers: Linear[] = [];
  for (let i = 0; i < count; i++) layers.push(await inputs.layer(owner, N, K, false));
  const x = inputs.floats(X, [1, K], owner, 'x');
  const state = inputs.state(owner, 0);
  const ys = layers.map((_, i) => inputs.output([1, N], owner, `y ${i}`));
  const W = series(77_003, 1 / Math.sqrt(K));
  const ms = await time(
    (r) => layers.forEach((layer, i) => linearDecode(r, ys[i]!, x, layer, state)),
    async () => {
      for (const i of [0, count - 1]) {
        const values = await device.readFloat32(ys[i]!);
        for (const at of places(N)) {
          const { value, size } = dot(
            K,
            (k) => X.at(k),
            (k) => W.at(at * K + k),
          );
          if (!(Math.abs(values[at]! - value) <= 2e-5 * size))
            throw new Error(`walk, matrix ${i}: got ${values[at]} at ${at}, expected ${value} ± ${2e-5 * size}.`);
        }
      }
    },
  );
  return { bytes: 2 * N * K * count, ms };
}

/** GFLOP/s of multiply-adds that depend only on themselves. */
async function multiplyAddRate(device: Device, rounds: number, owner: Owner, time: Time): Promise<number> {
  const threads = machineOf(device).threads ?? GPU_THREADS;
  const sums = device.createTensor([threads], 'f32', owner, 'sums');
  const ms = await time(
    (r) =>
      r.dispatch(benchShader('multiply_add'), {
        bind: { sizes: [rounds, 0, 0, 0], sums },
        grid: [Math.ceil(threads / 256)],
      }),
    async () => {
      const values = await device.readFloat32(sums);
      const wrong = values.findIndex((v) => v !== 2 * 4 * CHAINS);
      if (wrong >= 0)
        throw new Error(`multiply-adds: got ${values[wrong]} of thread ${wrong}, expected ${2 * 4 * CHAINS}.`);
    },
  );
  return (2 * 4 * CHAINS * rounds * threads) / ms / 1e6;
}
