// Which form of a kernel suits which adapter, where there is more than one for the same work. Everybody asks here; tests name a form themselves.
// (The kernels of a decode step differ by capability alone and choose for themselves: linear.ts, gemvVariant.)

import { isSoftware, type Device } from '../runtime/device.ts';

/**
 * Forms of the kernels for many rows. `tile` passes operands through workgroup memory or caches: GPUs, and whatever is not known better.
 * `lanes` hands registers from lane to lane: drivers that compute on the CPU, measured on Mesa 25 lavapipe (README.md has the numbers).
 */
export type Form = 'tile' | 'lanes';

/** The lanes form is written for subgroups of exactly 8. */
const hasLanesForm = ({ capabilities: c }: Device): boolean => c.subgroups && c.subgroupMinSize === 8 && c.subgroupMaxSize === 8;

/** Forms that work on this device; tests run each. */
export const formsOf = (device: Device): readonly Form[] => (hasLanesForm(device) ? ['tile', 'lanes'] : ['tile']);

export const formFor = (device: Device): Form => (isSoftware(device.info) && hasLanesForm(device) ? 'lanes' : 'tile');
