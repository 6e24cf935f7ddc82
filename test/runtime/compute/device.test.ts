// What a device refuses, what it reports late, and that a disposed one holds nothing.
// Needs: a device, on default, portable and swiftshader.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Device } from '../../../runtime/compute/device.ts';
import { ShapeError, UnsupportedError } from '../../../runtime/base/errors.ts';
import { record, type Recorder } from '../../../runtime/compute/program.ts';
import type { Shader } from '../../../runtime/compute/shader.ts';
import { testDevice } from '../../device.ts';
import { filled, free, upload } from '../../kernels/tensors.ts';
import { AXPY, axpy } from './axpy.ts';

const test = suite('device');

const device = await testDevice();

const thrown = async (body: (r: Recorder) => void, on = device): Promise<Error> =>
  (await record(on, body, { label: 'wrong' }).then(
    () => assert.unreachable('nothing was refused'),
    (e: unknown) => e,
  )) as unknown as Error;

test('bindings by the wrong name and grids past the limit are refused when they are recorded', async () => {
  const [x, y] = [await upload(filled(4), [4]), await upload(filled(4), [4])];
  const missing = await thrown((r) => r.dispatch(AXPY, { bind: { params: [0], y }, grid: [1] }));
  assert.instance(missing, ShapeError);
  assert.is(missing.message, 'test axpy: got bindings params, y, expected params, x, y.');
  const other = await thrown((r) => r.dispatch(AXPY, { bind: { params: [0], z: x, y }, grid: [1] }));
  assert.is(other.message, 'test axpy: got bindings params, z, y, expected params, x, y.');
  const limit = device.limits.maxComputeWorkgroupsPerDimension;
  for (const grid of [[limit + 1], [1, limit + 1], [1, 1, limit + 1]] as const) {
    const error = await thrown((r) =>
      r.dispatch(AXPY, { bind: { params: [0], x, y }, grid: grid as unknown as [number, number?, number?] }),
    );
    assert.instance(error, UnsupportedError);
    assert.match(
      error.message,
      new RegExp(`test axpy: needs a grid of .*${limit + 1}.* workgroups, expected at most ${limit} a side`),
    );
  }
  const empty = await record(device, (r) => r.dispatch(AXPY, { bind: { params: [0], x, y }, grid: [0] }), {
    label: 'empty',
  });
  assert.is(empty.dispatches, 0);
  empty.dispose();
  await free(x, y);
});

test('a shader that does not compile names file, line and column', async () => {
  const broken: Shader = {
    ...AXPY,
    name: 'test broken',
    code: 'fn f() {}\n@compute @workgroup_size(1)\nfn main() { let a = nonsense; }',
    bindings: [],
    runs: [
      { at: 1, file: 'broken.wgsl', line: 1 },
      { at: 2, file: 'common/part.wgsl', line: 7 },
    ],
  };
  const own = await Device.request();
  const error = await thrown((r) => r.dispatch(broken, { bind: {}, grid: [1] }), own);
  own.dispose();
  assert.instance(error, UnsupportedError);
  const [first, place] = error.message.split('\n');
  assert.is(first, 'kernels/broken.wgsl does not compile on this adapter with {}:');
  assert.ok(place!.startsWith('kernels/common/part.wgsl:8:21: '), place);
  assert.match(error.message, /nonsense[^]*\n  fn main\(\) \{ let a = nonsense; \}\n {22}\^$/); // each compiler has its own words
});

test('after dispose the ledger is where it was', async () => {
  const before = device.memory();
  const [x, y] = [await upload(filled(100), [100]), await upload(filled(100), [100])];
  const program = await record(
    device,
    (r) => {
      const t = r.temp([100], 't');
      axpy(r, t, x, 1);
      axpy(r, y, t, 1);
    },
    { label: 'ledger' },
  );
  program.run();
  const during = device.memory();
  assert.is(during.current - before.current, 2 * 400 + 400 + 512);
  assert.is(during.owners['ledger.activations']!.current, 400);
  assert.ok(during.peak >= during.current);
  program.dispose();
  program.dispose();
  await free(x, y, x);
  const after = device.memory();
  assert.is(after.current, before.current);
  assert.equal(after.owners['ledger.activations'], { current: 0, peak: 400 });
});

test('a device that is disposed holds nothing and says so when it is used', async () => {
  const own = await Device.request();
  const t = own.createTensor([1000], 'f32', 'own');
  own.write(t, filled(1000, 3));
  assert.is((await own.readFloat32(t))[999], 3);
  assert.ok(own.memory().current > 4000);
  own.dispose();
  own.dispose();
  assert.is(own.memory().current, 0);
  assert.throws(() => own.createTensor([1], 'f32', 'own'), /it was disposed/);
  await own.read(t).then(
    () => assert.unreachable(),
    (e: Error) => assert.match(e.message, /Device: it was disposed, expected a live one/),
  );
});

test('what the GPU reports late is thrown at the next read', async () => {
  const own = await Device.request();
  const t = own.createTensor([4], 'f32', 'own');
  // MAP_READ with STORAGE: a validation error that nobody waits for
  own.gpu.createBuffer({ size: 16, usage: 0x1 | 0x80 });
  await own.read(t).then(
    () => assert.unreachable('expected the error'),
    (e: Error) => {
      assert.instance(e, UnsupportedError);
      assert.match(e.message, /^WebGPU on '.+': .*[Bb]uffer/s);
    },
  );
  assert.throws(() => own.check());
  own.dispose();
});

test('buffers past the limits are refused before the GPU sees them', () => {
  const bytes = Math.min(device.limits.maxStorageBufferBindingSize, device.limits.maxBufferSize) + 16;
  const before = device.memory().current;
  assert.throws(
    () => device.createTensor([bytes], 'f32', 'huge', 'huge tensor'),
    (e: Error) =>
      e instanceof UnsupportedError &&
      /^huge tensor: needs a buffer of \d+ bytes, expected at most \d+ on/.test(e.message),
  );
  assert.is(device.memory().current, before);
});

test.run();
