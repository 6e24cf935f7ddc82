// The self checks: a driver that leaves out a dispatch is found out; a matrix unit that computes
// nonsense, or does not compile, is not used, and the user is told why.
// Needs: a device, on default, portable, swiftshader and subgroup_matrix.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { choices } from '../../kernels/common/choices.ts';
import { subgroupMatrixUnit } from '../../kernels/common/subgroup_matrix.ts';
import { checkDispatches, checkSubgroupMatrix } from '../../kernels/self_check.ts';
import { Device } from '../../runtime/compute/device.ts';
import { currentProfile } from '../profiles.ts';
import { isSoftware } from '../../runtime/compute/adapter.ts';
import { UnsupportedError } from '../../runtime/base/errors.ts';
import { thrown } from '../thrown.ts';
import { config } from './common/units.ts';

const test = suite('self_check');

test('all dispatches of a chain run, and one that is left out is an error that counts them', async () => {
  const device = await Device.request({ ...currentProfile().device, tuning: {} });
  await checkDispatches(device);
  assert.is(device.counters.dispatches, 200);
  assert.is(device.memory().owners.check?.current, 0);
  const { backend } = device;
  const make = backend.commands.bind(backend);
  backend.commands = (label) => {
    const commands = make(label);
    const run = commands.run.bind(commands);
    commands.run = (steps, times, name) => run(steps.slice(1), times, name);
    return commands;
  };
  const error = await thrown(checkDispatches(device));
  assert.instance(error, UnsupportedError);
  assert.match(error.message, / ran 199 of 200 dispatches, expected all/);
  assert.is(device.memory().owners.check?.current, 0);
  device.dispose();
});

test('nothing is tried where nothing would be computed on a matrix unit', async () => {
  const device = await Device.request({ ...currentProfile().device, tuning: { gemm: 'tile', attention: 'tile' } });
  const before = { ...device.counters };
  assert.is(await checkSubgroupMatrix(device), undefined);
  assert.equal(device.counters, before);
  device.dispose();
});

test('a unit that is right is left in use, and asked once', async () => {
  const device = await Device.request({
    ...currentProfile().device,
    tuning: { gemm: 'subgroup_matrix', attention: 'subgroup_matrix' },
  });
  if (!subgroupMatrixUnit(device)) return device.dispose();
  assert.is(await checkSubgroupMatrix(device), undefined);
  assert.equal(device.tuning, { gemm: 'subgroup_matrix', attention: 'subgroup_matrix' });
  assert.is(device.memory().owners.check?.current, 0);
  const { dispatches } = device.counters;
  assert.is(await checkSubgroupMatrix(device), undefined);
  assert.is(device.counters.dispatches, dispatches);
  device.dispose();
});

test('a unit that is wrong is not used, and why is told', async () => {
  const device = await Device.request({ ...currentProfile().device, tuning: { gemm: 'subgroup_matrix', gemvRows: 2 } });
  if (!subgroupMatrixUnit(device)) return device.dispose();
  const readFloat32 = device.readFloat32.bind(device);
  device.readFloat32 = async (t) => (await readFloat32(t)).map((v, i) => (i === 300 ? v + 1 : v));
  const told = await checkSubgroupMatrix(device);
  assert.match(
    told!,
    /^The matrix unit of '.*' is not used.*: a product is \d+ at \[1, 20\], expected \d+\. Update the driver\.$/,
  );
  const other = isSoftware(device.info) ? 'simd8' : 'tile';
  assert.equal(device.tuning, { gemm: other, attention: other, gemvRows: 2 });
  assert.is(choices(device).gemm, other);
  assert.is(await checkSubgroupMatrix(device), told); // a second model on the device hears of it, too
  device.dispose();
});

test('a unit that is promised and does not compile is not used', async () => {
  const device = await Device.request({ ...currentProfile().device, tuning: { gemm: 'subgroup_matrix' } });
  if (device.capabilities.subgroupMatrices.length > 0 || !device.capabilities.f16) return device.dispose();
  Object.assign(device.capabilities, {
    subgroups: true,
    subgroupSizeControl: true,
    subgroupMatrices: [config(16, 16, 16)],
  });
  assert.is(choices(device).gemm, 'subgroup_matrix');
  assert.match(
    (await checkSubgroupMatrix(device))!,
    /^The matrix unit of '.*' is not used.*linear_subgroup_matrix.* does not compile.*matrix.*\. Update the driver\.$/,
  );
  assert.is.not(choices(device).gemm, 'subgroup_matrix');
  device.check(); // and the device is fine
  device.dispose();
});

test.run();
