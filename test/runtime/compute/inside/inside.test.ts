// Seeing inside: what a program says of its dispatches, how long each took, and a tensor's values.
// Needs: a device.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { record } from '../../../../runtime/compute/program.ts';
import { formatDispatches } from '../../../../runtime/compute/step.ts';
import { testDevice } from '../../../device.ts';
import { free, upload } from '../../../kernels/tensors.ts';
import { axpy } from '../axpy.ts';

const test = suite('inside');
const device = await testDevice();

test('describe lists each dispatch in order: shader, overrides, grid, what is bound', async () => {
  const [x, y] = [
    await upload(Float32Array.of(1, 2, 3, 4), [4], 'f32', 'x'),
    await upload(Float32Array.of(0, 0, 0, 0), [2, 2], 'f32', 'y'),
  ];
  const program = await record(device, (r) => r.repeat(2, () => axpy(r, y, x, 0.5, { add: 3, sign: -1 })), {
    label: 'twice',
  });
  const description = program.describe();
  assert.equal(
    description,
    Array.from({ length: 2 }, () => ({
      shader: 'test axpy',
      overrides: { SIGN: -1 },
      grid: [1, 1, 1],
      bindings: [
        { name: 'params', values: [0.5, 3] },
        { name: 'x', label: 'x', shape: [4], dtype: 'f32' },
        { name: 'y', label: 'y', shape: [2, 2], dtype: 'f32' },
      ],
    })),
  );
  assert.is(
    formatDispatches(description).split('\n')[1],
    '   1  test axpy  1 × 1 × 1  [SIGN=-1]  params: 0.5 3; x: x (4) f32; y: y (2, 2) f32',
  );
  program.dispose();
  await free(x, y);
});

test('profile runs it once and times each dispatch; without timestamps it says what to do', async () => {
  const [x, y] = [await upload(Float32Array.of(1, 2, 3, 4), [4]), await upload(Float32Array.of(0, 0, 0, 0), [4])];
  const program = await record(device, (r) => [1, 2, 3].forEach((by) => axpy(r, y, x, by)), { label: 'three' });
  if (device.capabilities.timestamps) {
    const before = { ...device.counters };
    const profile = await program.profile();
    assert.equal(
      profile.map(({ microseconds, ...description }) => (assert.ok(microseconds >= 0), description)),
      program.describe(),
    );
    assert.is(device.counters.dispatches - before.dispatches, 3);
    assert.equal([...(await device.readFloat32(y))], [6, 12, 18, 24]);
  } else {
    const error = await program.profile().then(
      () => undefined,
      (e: Error) => e,
    );
    assert.match(error!.message, /has no timestamp-query/);
  }
  program.dispose();
  await free(x, y);
});

test('more dispatches than a query set holds are timed too', async () => {
  if (!device.capabilities.timestamps) return;
  const [x, y] = [await upload(Float32Array.of(1, 1, 1, 1), [4]), await upload(Float32Array.of(0, 0, 0, 0), [4])];
  const program = await record(device, (r) => r.repeat(2051, () => axpy(r, y, x, 1)), { label: 'many' });
  assert.is((await program.profile()).length, 2051);
  assert.equal([...(await device.readFloat32(y))], [2051, 2051, 2051, 2051]);
  program.dispose();
  await free(x, y);
});

test('dump has the values and their range, of f16 as f32', async () => {
  const t = await upload(Float32Array.of(1.5, -2, NaN, 0.25, 8, 0), [2, 3], 'f16', 'halves');
  const { data, ...rest } = await device.dump(t);
  assert.equal([...data], [1.5, -2, NaN, 0.25, 8, 0]);
  assert.equal(rest, { label: 'halves', shape: [2, 3], dtype: 'f16', min: -2, max: 8, mean: 7.75 / 5, nan: 1 });
  await free(t);
});

test.run();
