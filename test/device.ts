// The device that a test file runs on, by the profile that the runner asks for: the default adapter, the base kernels on it,
// or whatever driver VK_DRIVER_FILES names.

import { Device } from '../runtime/device.ts';
import { env } from '../runtime/platform.ts';

export const profile = env('BARK_TEST_PROFILE') ?? 'default';

let device: Promise<Device> | undefined;

/** One device for all tests of a file. */
export function testDevice(): Promise<Device> {
  device ??= Device.request({ portable: profile === 'portable' });
  return device;
}
