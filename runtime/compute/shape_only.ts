// Tensors without memory. Which pipelines a program needs hangs on shapes alone, so they can be
// compiled while weights are still on their way, or before any are asked for. Recording looks at
// shapes; nothing that is made of these can run.

import type { Device } from './device.ts';

/** What makes buffers and tensors: a device, or `SHAPE_ONLY`. */
export type Allocator = Pick<Device, 'createBuffer' | 'createTensor' | 'destroyBuffer'>;

export const SHAPE_ONLY: Allocator = {
  createBuffer: (size, _usage, _owner, label) => ({ size, label }) as GPUBuffer,
  createTensor: (shape, dtype, _owner, label = 'shape only') => ({
    buffer: { size: 0, label } as GPUBuffer,
    offset: 0,
    shape,
    dtype,
    label,
  }),
  destroyBuffer() {},
};
