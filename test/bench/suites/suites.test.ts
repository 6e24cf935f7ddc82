// The suites `decode`, `stages`, `kernels` and `generate` on a model of two narrow layers: that
// they run, with the checks that stand before every timing, and what of their results is exact on
// any machine: counters of a decode step, and its bytes at the released models' width. Times are
// not judged here.
// Needs: a device.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { runDevice } from '../../../bench/suites/device.ts';
import type { CoreCases } from '../../../bench/measure/device_report.ts';
import { runDecode } from '../../../bench/suites/decode.ts';
import type { BenchOptions, Result } from '../../../bench/measure/harness.ts';
import { MODELS } from '../../../bench/model/inventory.ts';
import { expectSame } from '../../../bench/peers/generate.ts';
import { withFastest } from '../../../bench/peers/compare.ts';
import { closing, targetOf } from '../../../bench/peers/targets.ts';
import { inTurns, sides, type Worker } from '../../../bench/peers/work.ts';
import { openSynthetic, syntheticSource } from '../../../bench/model/synthetic.ts';
import { stepTraffic, watched } from '../../../bench/measure/traffic.ts';
import { filledMatrix, PERIOD, readMatrix, series } from '../../../bench/model/values.ts';
import { openCheckpoint } from '../../../runtime/formats/open_checkpoint.ts';
import { float16ToFloat32 } from '../../../runtime/base/half.ts';
import { testDevice } from '../../device.ts';
import { sessionOf, stagesOf } from '../../../bench/suites/decode_check.ts';

const test = suite('bench suites');
const TINY: BenchOptions = { model: 'tiny', quick: true, repeats: 1, cold: false, dtype: 'float16' };

test('a decode step makes nothing and reads nothing back in steady state, and takes five dispatches a layer and three', async () => {
  const results: Result[] = [];
  await runDecode(
    TINY,
    (result) => results.push(result),
    () => {},
    { batches: [1, 4], contexts: [300] },
  );
  assert.equal(
    results.map(({ stage, batch }) => `${stage} ${batch}`),
    ['semantic 1', 'semantic 4', 'coarse 1', 'coarse 4'],
  );
  for (const result of results) {
    const what = `${result.stage}, batch ${result.batch}`;
    for (const field of [
      'bindGroupsPerToken',
      'buffersPerToken',
      'pipelinesPerToken',
      'readbacksPerToken',
      'uploadsPerToken',
    ])
      assert.is(result[field], 0, `${what}: ${field}`);
    assert.ok(
      Number(result.dispatchesPerToken) <= 5 * result.layers + 3,
      `${what}: ${result.dispatchesPerToken} dispatches of ${result.layers} layers`,
    );
    for (const field of [
      'msPerToken',
      'cpuMsPerToken',
      'encodeMsPerToken',
      'bytesPerToken',
      'neededBytesPerToken',
      'bandwidthRatio',
    ])
      assert.ok(Number(result[field]) > 0, `${what}: ${field} ${result[field]}`);
    for (const field of ['suite', 'model', 'adapter', 'backend', 'cpu', 'dtype', 'variant'] as const)
      assert.type(result[field], 'string');
  }
});

test('a decode step moves hardly more than the weights and the cache that it needs', async () => {
  // At the small model's width with one layer: what is not weights weighs more than with all of
  // them. Recorded, not run.
  const device = await testDevice();
  const model = await openSynthetic(syntheticSource({ ...MODELS.small, num_layers: 1 }));
  const { hidden_size: H } = MODELS.small;
  for (const stage of stagesOf(device, model, 'float16')) {
    await stage.use(async (gpt) => {
      for (const batch of [1, 2, 4, 8]) {
        const { value: session, programs } = await watched(() =>
          sessionOf(device, gpt, stage, batch, { greedy: false, prompt: 1, pitch: 1 }),
        );
        session.dispose();
        const context = 300;
        const { bytes, needed } = stepTraffic(programs[0]!, batch, context);
        assert.ok(bytes <= 1.05 * needed, `${stage.name}, batch ${batch}: ${bytes} bytes, ${needed} needed`);
        // What is needed, counted again from the model's sizes: blocks, head, norms, embeddings,
        // cache.
        const head = stage.name === 'semantic' ? 10001 : 1024;
        const weights = 2 * (12 * H * H + head * H) + 4 * 3 * H + batch * (2 + 4) * H;
        const cache = 2 * 2 * H * batch * (context + 1);
        assert.is(needed, weights + cache, `${stage.name}, batch ${batch}`);
      }
    });
    stage.model.unload();
  }
  await model.close();
});

const CORES: CoreCases = { copyBytes: 3 << 20, weightBytes: 9 << 20, rounds: 1000, products: [[13, 40, 24]] };

test('the suite device holds what a processor computes against what it can do', async () => {
  const results: Result[] = [];
  await runDevice(
    { ...TINY, backend: 'wasm', threads: 2 },
    (result) => results.push(result),
    () => {},
    { chains: [1], readBytes: 1 << 20, cores: CORES },
  );
  assert.equal(
    results.map(({ probe }) => probe),
    [
      'copy, a kernel',
      'walk over f16 weights, linear_decode (3072, 768)',
      'walk / copy',
      'multiply-adds of 4 lanes',
      'product 13 × 40 × 24',
      'product 13 × 40 × 24 / multiply-adds',
    ],
  );
  for (const { probe, value, backend, threads, cpu } of results) {
    assert.ok(Number(value) > 0, `${probe}: ${value}`);
    assert.equal([backend, threads], ['wasm', 2]);
    assert.ok(cpu.length > 0);
  }
});

test('a matrix is read back row by row, in whichever order the device has it', async () => {
  const device = await testDevice();
  const owner = { name: 'test' };
  const numbers = series(5);
  for (const dtype of ['f16', 'f32'] as const) {
    const bytes = await readMatrix(device, filledMatrix(device, numbers, [48, 24], dtype, owner, 'm'));
    const got = dtype === 'f16' ? float16ToFloat32(new Uint16Array(bytes.buffer)) : new Float32Array(bytes.buffer);
    assert.equal(
      [...got],
      Array.from({ length: 48 * 24 }, (_, i) => numbers.at(i)),
      dtype,
    );
  }
  device.destroyOwned(owner);
});

test('the suite device reports limits, finds f16 right, and gives positive times', async () => {
  if ((await testDevice()).kind === 'wasm') return console.log("skip: this part of the suite is WebGPU's");
  const results: Result[] = [];
  await runDevice(
    TINY,
    (result) => results.push(result),
    () => {},
    { chains: [1, 4, 10], readBytes: 1 << 20, cores: CORES },
  );
  const of = (start: string): Result[] => results.filter(({ probe }) => `${probe}`.startsWith(start));
  assert.is(of('maxBufferSize').length, 1);
  assert.is(of('dependent dispatches').length, 6);
  assert.ok(of('halves').length >= 5);
  for (const { probe, wrong = 0 } of of('halves')) assert.is(wrong, 0, `${probe}`);
  for (const { probe, value, unit } of results)
    if (/^(µs|GB|ms)/.test(`${unit}`) && !(value === null && unit === 'µs for each more'))
      assert.ok(Number(value) > 0, `${probe}: ${value}`);
});

test("a peer's sentence is timed only if its tokens and audio equal ours", () => {
  const same = { device: '', error: 1e-6, semanticTokens: 16, equalSemantic: 1, equalCoarse: 1, equalFine: 1 };
  expectSame(same, 'float32', 'float32', 16);
  expectSame({ ...same, equalSemantic: 0.5, equalFine: 0.99 }, 'float16', 'float32', 16);
  expectSame({ ...same, error: 0.09, equalFine: 0 }, 'float32', 'bfloat16', 16);
  assert.throws(() => expectSame({ ...same, error: 0.11 }, 'float32', 'bfloat16', 16), /audio/);
  assert.throws(() => expectSame({ ...same, equalFine: 0.999 }, 'float32', 'float32', 16), /99.9 % of the fine tokens/);
  assert.throws(() => expectSame({ ...same, equalFine: 0.8 }, 'float16', 'float32', 16), /80 % of the fine tokens/);
  assert.throws(() => expectSame({ ...same, equalCoarse: 0 }, 'float16', 'float32', 16), /0 % of the coarse tokens/);
  assert.throws(() => expectSame({ ...same, error: 1e-3 }, 'float32', 'float32', 16), /audio/);
  assert.throws(() => expectSame({ ...same, error: NaN }, 'float32', 'float32', 16), /audio/);
  assert.throws(() => expectSame(same, 'float32', 'float32', 17), /16 semantic tokens, expected 17/);
});

test('a result against a peer names its target, the measured ratio, and whether it was met', () => {
  const result = (variant: string, operation: string, ratio: number): Result => ({
    suite: 'peers',
    model: 'small',
    layers: 12,
    adapter: '',
    backend: 'webgpu',
    threads: null,
    cpu: '',
    dtype: 'float16',
    variant,
    operation,
    ratio,
    cpuRatio: 2,
  });
  const ort = 'onnxruntime-webgpu 1.30.0 fused float16';
  assert.equal(targetOf(result(ort, 'decode', 3)), { target: 3, met: 'met' });
  assert.equal(targetOf(result(ort, 'fine', 1.49)), { target: 1.5, met: 'missed' });
  assert.equal(targetOf(result('transformers 5 eager float16 CUDA', 'generate', 7)), { target: 8, met: 'missed' });
  assert.equal(targetOf(result('transformers 5 eager float32 CPU', 'generate', 0.4)), { target: null, met: null });
  const lines = closing([result(ort, 'decode', 3), result('transformers 5 eager float32 CPU', 'decode', 0.4)]);
  assert.match(lines, /^decode, small, 12 layers, .*target 3×, measured 3× .*: met$/);

  const form = (name: string, peerMs: number | null): Result => ({
    ...result(`transformers 5 ${name} CPU`, 'decode', peerMs === null ? NaN : peerMs / 40),
    ratio: peerMs === null ? null : peerMs / 40,
    peerMs,
  });
  const marked = withFastest([form('eager float32', 80), form('compiled float16', 60), form('eager float16', null)]);
  assert.equal(
    marked.map(({ fastest }) => fastest),
    [false, true, null],
  );
  assert.is(
    closing(marked),
    'decode, small, 12 layers: 1.5× beside the fastest form (transformers 5 compiled float16 CPU), 2× beside eager float32',
  );
  assert.is(closing([form('eager float32', null)]), '');
});

test('of two sides in turns the medians count, and a side that is not there has no numbers', async () => {
  const side = (...ms: number[]): Worker => ({
    check: () => Promise.reject(new Error('not asked for')),
    time: () => Promise.resolve({ ms: ms.shift()!, cpuMs: 1 }),
    end: () => {},
  });
  const both = await inTurns('decode', { ours: side(1, 5, 2), peer: side(9, 4, 3) }, 1, 3);
  assert.equal(sides(both), {
    oursMs: 2,
    peerMs: 4,
    ratio: 2,
    oursCpuMs: 1,
    peerCpuMs: 1,
    cpuRatio: 1,
    runs: 3,
  });
  const alone = sides(await inTurns('decode', { peer: side(7) }, 1, 1));
  assert.equal([alone.oursMs, alone.peerMs, alone.ratio], [null, 7, null]);
});

test('a kernel whose traffic is not known is an error', () => {
  assert.throws(() => stepTraffic([{ shader: 'novel_row', bind: {}, grid: [1] }], 1, 1), /novel_row/);
});

test('synthetic weights have the same bytes whether read whole or in parts', async () => {
  const weights = await openCheckpoint(syntheticSource(MODELS.tiny));
  const name = 'semantic.input_embeds_layer.weight'; // longer than the block that values are cut from
  const whole = await weights.read(name);
  assert.ok(whole.length > 2 * PERIOD);
  for (const [start, end] of [
    [0, 64],
    [2 * PERIOD - 10, 2 * PERIOD + 10],
    [whole.length - 6, whole.length],
  ] as const)
    assert.equal([...(await weights.read(name, start, end))], [...whole.subarray(start, end)]);
  const floats = float16ToFloat32(new Uint16Array(whole.slice().buffer));
  assert.ok(floats.every((v) => Math.abs(v) <= 0.2001));
  assert.ok(Math.abs(floats.reduce((a, b) => a + b, 0) / floats.length) < 0.002);
  const run = series(9, 0.5);
  const halves = new Uint8Array(8);
  run.copy('f16', halves, 2 * (PERIOD - 11));
  assert.equal(
    [...float16ToFloat32(new Uint16Array(halves.buffer))],
    [0, 1, 2, 3].map((i) => run.at(PERIOD - 11 + i)),
  );
  await weights.close();
});

test.run();
