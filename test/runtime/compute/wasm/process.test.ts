// Threads and the process that they are in: it ends by itself while they are idle, not while a
// result is awaited, and its event loop stays free while they compute.
// Needs: a device, on wasm.

import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { embeddingDecode } from '../../../../kernels/embedding/embedding.ts';
import { createState } from '../../../../kernels/state.ts';
import { matrixOf } from '../../../../kernels/upload/matrix.ts';
import { linearDecode } from '../../../../kernels/linear/linear.ts';
import { record } from '../../../../runtime/compute/program.ts';
import { randomFloats } from '../../../random.ts';
import { testDevice } from '../../../device.ts';

const test = suite('wasm process');
const run = promisify(execFile);
const module = (path: string): string => JSON.stringify(new URL(`../../../../${path}`, import.meta.url).href);

function script(body: string): Promise<{ stdout: string; stderr: string }> {
  const text = `import { Device } from ${module('runtime/index.ts')};
    const device = await Device.request({ backend: 'wasm' });
    const t = device.createTensor([4], 'f32', 'test');
    device.write(t, Float32Array.of(1, 2, 3, 4));
    ${body}`;
  return run(process.execPath, ['--import', import.meta.resolve('tsx'), '--input-type=module', '-e', text], {
    timeout: 30_000,
  });
}

test('a device that nobody disposes does not keep the process', async () => {
  const { stdout } = await script('console.log([...(await device.readFloat32(t))].join());');
  assert.is(stdout, '1,2,3,4\n');
});

test('the process does not end before an awaited result', async () => {
  const { stdout } = await script(
    "void device.readFloat32(t).then((values) => console.log('read', values[3])); process.on('exit', (code) => console.log('exit', code));",
  );
  assert.is(stdout, 'read 4\nexit 0\n');
});

test('an event loop is free while threads compute', async () => {
  const device = await testDevice();
  const [n, k] = [768, 768];
  const w = matrixOf(device, randomFloats(n * k, 1), [n, k], 'f16', 'test', 'w');
  const positions = device.createTensor([1, k], 'f32', 'test');
  const [x, y] = [device.createTensor([1, k], 'f32', 'test'), device.createTensor([1, n], 'f32', 'test')];
  const state = createState(device, 'test');
  const layer = { weight: w, bias: null, norm: null, terms: null };
  const program = await record(
    device,
    (r) => {
      embeddingDecode(r, x, w, positions, state);
      for (let i = 0; i < 50; i++) linearDecode(r, y, x, layer, state);
    },
    { label: 'long' },
  );
  program.run();
  await device.settle();
  const late: number[] = [];
  let due = performance.now() + 5;
  const timer = setInterval(() => {
    const now = performance.now();
    late.push(now - due);
    due = now + 5;
  }, 5);
  const start = performance.now();
  while (performance.now() - start < 1000) {
    program.run(10);
    await device.settle();
  }
  clearInterval(timer);
  late.sort((a, b) => a - b);
  const median = late[late.length >> 1]!;
  assert.ok(late.length > 20 && median < 20, `${late.length} ticks, ${median} ms late in the median`);
  program.dispose();
});

test.run();
