// The device that a test file runs on, by the profile that the runner asks for (profiles.ts): the
// default adapter, the base kernels on it, whatever driver VK_DRIVER_FILES names, or the kernels
// for matrix units wherever there is a choice.

import { subgroupMatrixUnit } from '../kernels/common/subgroup_matrix.ts';
import { Device } from '../runtime/compute/device.ts';
import { currentProfile } from './profiles.ts';

const current = currentProfile();
export const profile = current.name;

let device: Promise<Device> | undefined;

/** One device for all tests of a file. */
export function testDevice(): Promise<Device> {
  device ??= request();
  return device;
}

async function request(): Promise<Device> {
  const found = await Device.request({ tuning: {}, ...current.device });
  // Without them the kernels for matrix units would give way to others in silence.
  if (profile === 'subgroup_matrix' && !subgroupMatrixUnit(found))
    throw new Error(
      `BARK_TEST_PROFILE=subgroup_matrix: '${found.name}' has no subgroup matrices that the kernels know, expected an adapter with them. Use npm test -- --profile subgroup_matrix.`,
    );
  return found;
}
