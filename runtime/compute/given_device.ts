// The option `device` of the doors that load a model.

import { wrongOption } from '../base/options.ts';
import { Device } from './device.ts';

/**
 * Throws `InputError` for a `device` that is none, such as the name 'webgpu', and what the device
 * itself says of its state: a model that is loaded onto a dead one would fail late and elsewhere.
 */
export function checkDevice(door: string, device: unknown): void {
  if (device === undefined) return;
  if (!(device instanceof Device))
    throw wrongOption(
      door,
      'device',
      device,
      'a Device. Leave it out for the default GPU, or pass await Device.request({ adapter: … })',
    );
  device.check();
}
