// The processor as a device: the same bits with any number of threads, an order of writes, runs and
// reads that is that of the calls, buffers that are zero, a thread that crashes, options.
// Needs: a device, on wasm.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { linear } from '../../../../kernels/linear/linear.ts';
import { createUniform, writeCall } from '../../../../kernels/state.ts';
import { matrixOf } from '../../../../kernels/upload/matrix.ts';
import { InputError, UnsupportedError } from '../../../../runtime/base/errors.ts';
import { Device } from '../../../../runtime/compute/device.ts';
import { record, type Program } from '../../../../runtime/compute/program.ts';
import type { Shader } from '../../../../runtime/compute/shader.ts';
import type { Tensor } from '../../../../runtime/compute/tensor.ts';
import { randomFloats } from '../../../random.ts';
import { trap } from './trap.ts';

const test = suite('wasm device');
const [M, N, K] = [37, 70, 72];

/** A product on a device: its program, what it reads and what it writes. */
async function product(device: Device, residual = false): Promise<{ program: Program; x: Tensor; y: Tensor }> {
  const x = device.createTensor([M, K], 'f32', 'test');
  const y = device.createTensor([M, N], 'f32', 'test');
  const weight = matrixOf(device, randomFloats(N * K, 2), [N, K], 'f16', 'test', 'weight');
  const call = createUniform(device, 3, 'test', 'call');
  writeCall(device, call, { count: M });
  device.write(x, randomFloats(M * K, 1));
  const program = await record(device, (r) => linear(r, y, x, { weight, bias: null }, call, { residual }), {
    label: 'product',
  });
  return { program, x, y };
}

async function onDevice<T>(threads: number, run: (device: Device) => Promise<T>): Promise<T> {
  const device = await Device.request({ backend: 'wasm', threads, tuning: {} });
  try {
    return await run(device);
  } finally {
    device.dispose();
  }
}

const failure = (promise: Promise<unknown>): Promise<Error> =>
  promise.then(
    () => assert.unreachable('nothing was thrown') as never,
    (error: Error) => error,
  );

test('one, two, four and seven threads give the same bits', async () => {
  const results: Float32Array[] = [];
  for (const threads of [1, 2, 4, 7]) {
    results.push(
      await onDevice(threads, async (device) => {
        assert.match(device.name, new RegExp(`, ${threads} threads? · cpu · wasm`));
        assert.is(device.kind, 'wasm');
        const { program, y } = await product(device);
        program.run();
        return device.readFloat32(y);
      }),
    );
  }
  for (const result of results) assert.equal(result, results[0]);
  assert.ok(results[0]!.some((v) => v !== 0));
});

test('what is written between runs is seen by the runs behind it and by none before', () =>
  onDevice(2, async (device) => {
    const { program, x, y } = await product(device);
    const zeros = new Float32Array(M * K);
    const reads: Promise<Float32Array>[] = [];
    for (let i = 0; i < 20; i++) {
      device.write(x, randomFloats(M * K, 1));
      program.run(3);
      reads.push(device.readFloat32(y));
      device.write(x, zeros);
      program.run();
      reads.push(device.readFloat32(y));
    }
    for (const [i, values] of (await Promise.all(reads)).entries())
      assert.is(
        values.some((v) => v !== 0),
        i % 2 === 0,
        `read ${i}`,
      );
  }));

test('a copy is ordered as a run, and a buffer that is made again is zero', () =>
  onDevice(2, async (device) => {
    const { program, y } = await product(device);
    const owner = { name: 'copies' };
    for (let i = 0; i < 10; i++) {
      const copy = device.createTensor([M, N], 'f32', owner);
      assert.equal(await device.readFloat32(copy), new Float32Array(M * N));
      const commands = device.commands('run and copy');
      program.encode(commands);
      commands.copy(y.buffer, 0, copy.buffer, 0, 4 * M * N);
      commands.submit();
      const [copied, made] = await Promise.all([device.readFloat32(copy), device.readFloat32(y)]);
      assert.equal(copied, made);
      program.run(5); // still at work when the memory is given back and taken again
      device.destroyOwned(owner);
    }
  }));

test('two devices side by side keep apart', async () => {
  const [a, b] = await Promise.all([1, 2].map((threads) => Device.request({ backend: 'wasm', threads, tuning: {} })));
  const [one, other] = [await product(a!), await product(b!)];
  b!.write(other.x, new Float32Array(M * K));
  one.program.run();
  other.program.run();
  const [y, zero] = await Promise.all([a!.readFloat32(one.y), b!.readFloat32(other.y)]);
  assert.ok(y.some((v) => v !== 0) && zero.every((v) => v === 0));
  a!.dispose();
  b!.dispose();
});

test('dispose while a result is awaited ends the wait with a typed error', async () => {
  const device = await Device.request({ backend: 'wasm', tuning: {} });
  const { program, y } = await product(device);
  program.run(2000);
  const read = failure(device.read(y));
  device.dispose();
  const error = await read;
  assert.ok(error instanceof UnsupportedError || error instanceof InputError, error.name);
  assert.match(error.message, /disposed/);
});

for (const threads of [1, 3])
  test(`a crash of ${threads} threads is a typed error, and the device goes on with its weights`, () =>
    onDevice(threads, async (device) => {
      const { program, y } = await product(device);
      program.run();
      const before = await device.readFloat32(y);
      const crashing = await record(device, (r) => r.dispatch(trap, { bind: {}, grid: [1] }), { label: 'crash' });
      for (let time = 0; time < 2; time++) {
        crashing.run();
        const error = await failure(device.read(y));
        assert.instance(error, UnsupportedError);
        assert.match(error.message, /A thread of the processor's device crashed \(RuntimeError: unreachable\)/);
        assert.match(error.message, /the weights are not\. Call again; new threads are started\.$/);
        program.run();
        assert.equal(await device.readFloat32(y), before);
      }
    }));

test('a kernel without a form for processors is refused by its name', () =>
  onDevice(1, async (device) => {
    const shader: Shader = { name: 'only_wgsl', code: '', bindings: [], runs: [] };
    const error = await failure(record(device, (r) => r.dispatch(shader, { bind: {}, grid: [1] }), { label: 'x' }));
    assert.instance(error, UnsupportedError);
    assert.match(error.message, /^only_wgsl: got a kernel without a form for processors.*backend 'webgpu'\.$/);
    assert.throws(() => device.gpu, /computes without WebGPU, expected a GPU/);
  }));

test('what a device is asked for wrongly is told', async () => {
  const ask = (options: object): Promise<Error> => failure(Device.request(options));
  assert.match((await ask({ backend: 'cpu' })).message, /got 'cpu' for backend, expected 'auto', 'webgpu' or 'wasm'/);
  for (const threads of [0, 1.5, 65, '2', NaN])
    assert.match(
      (await ask({ backend: 'wasm', threads })).message,
      /for threads, expected a whole number from 1 to 64/,
    );
  assert.match((await ask({ backend: 'webgpu', threads: 2 })).message, /got threads: 2 for a GPU, expected none/);
  const { BARK_THREADS } = process.env;
  process.env['BARK_THREADS'] = 'many';
  try {
    assert.match((await ask({ backend: 'wasm' })).message, /^BARK_THREADS: got 'many', expected a whole number/);
  } finally {
    if (BARK_THREADS === undefined) delete process.env['BARK_THREADS'];
    else process.env['BARK_THREADS'] = BARK_THREADS;
  }
});

test.run();
