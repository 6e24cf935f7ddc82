// Activation memory: buffers that are handed out and taken back while programs are recorded, so
// that a tensor lives in the place of one that is no longer needed. Programs of one stage share an
// arena, since they never run at the same time.
// It deals in whole buffers, not in ranges: WebGPU forbids one buffer as both read-only and
// writable in one dispatch.

import { USAGE } from './backend.ts';
import type { Allocator } from './shape_only.ts';
import { byteSize, type DeviceBuffer, type DType, type Tensor } from './tensor.ts';

export class Arena {
  readonly #device: Allocator;
  readonly #owner: string;
  readonly #all = new Set<DeviceBuffer>();
  #free: DeviceBuffer[] = [];

  constructor(device: Allocator, owner: string) {
    this.#device = device;
    this.#owner = owner;
  }

  /** A tensor of arbitrary content: the smallest free buffer that holds it, or a new one. */
  take(shape: readonly number[], dtype: DType, label: string): Tensor {
    const size = byteSize(shape, dtype);
    const fitting = this.#free.filter((b) => b.size >= size).sort((a, b) => a.size - b.size);
    let buffer = fitting[0];
    if (buffer) this.#free = this.#free.filter((b) => b !== buffer);
    else
      this.#all.add(
        (buffer = this.#device.createBuffer(size, USAGE.STORAGE | USAGE.COPY_DST | USAGE.COPY_SRC, this.#owner, label)),
      );
    return { buffer, offset: 0, shape, dtype, label };
  }

  give(t: Tensor): void {
    if (this.#all.has(t.buffer) && !this.#free.includes(t.buffer)) this.#free.push(t.buffer);
  }

  dispose(): void {
    for (const buffer of this.#all) this.#device.destroyBuffer(buffer);
    this.#all.clear();
    this.#free = [];
  }
}
