// Shape-only tensors, to compile pipelines before the weights exist. Which pipelines a program
// needs depends on shapes alone, so recording it over these tensors compiles all of them while the
// weights are still being read. A program over them can never run.

import type { Device } from './device.ts';

/** What makes buffers and tensors: a device, or `SHAPE_ONLY`. */
export type Allocator = Pick<Device, 'createBuffer' | 'createTensor' | 'destroyBuffer'>;

export const SHAPE_ONLY: Allocator = {
  createBuffer: (size, _usage, _owner, label) => ({ size, label: label ?? 'shape only' }),
  createTensor: (shape, dtype, _owner, label = 'shape only') => ({
    buffer: { size: 0, label },
    offset: 0,
    shape,
    dtype,
    label,
  }),
  destroyBuffer() {},
};
