// Which form of a kernel suits which adapter, where there is more than one for the same work. Everybody asks here; tests name a form themselves.
// (Subgroups or not, in the kernels of a decode step, is a matter of capability alone: linear.ts, gemvVariant.)

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

/**
 * Rows of x that share a walk over a matrix in a decode step, of the 8 that common/gemv.wgsl can. With 8, lavapipe's compiler takes 10 s for a
 * kernel, 4 s with 4, and what is saved are reads from the processor's own cache.
 */
export const rowsOfWalk = (device: Device): number => (isSoftware(device.info) ? 4 : 8);
