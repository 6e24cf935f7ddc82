// Timestamps around single dispatches. WebGPU stamps whole passes, so each dispatch gets a pass of
// its own: what is measured this way has the passes' own cost on top.

import type { Step } from '../step.ts';
import type { GpuCall } from '../webgpu/gpu_call.ts';

const MAX_QUERIES = 4096; // of a query set, WebGPU's limit
const QUERY_RESOLVE = 0x200; // GPUBufferUsage; npm webgpu does not define the globals
const COPY_SRC = 0x4;
const COPY_DST = 0x8;
const MAP_READ = 0x1;
const MAP_MODE_READ = 1;

/** A dispatch and when it ran, in nanoseconds of the GPU's own clock, whose zero is not known. */
export interface StampedStep {
  readonly step: Step;
  readonly begin: bigint;
  readonly end: bigint;
}

/** The stamps of one command encoder. */
export class Stamps {
  readonly #gpu: GPUDevice;
  readonly #steps: Step[] = [];
  readonly #sets: GPUQuerySet[] = [];
  #results: GPUBuffer | undefined;
  #resolved: GPUBuffer | undefined;

  constructor(gpu: GPUDevice) {
    this.#gpu = gpu;
  }

  /** Encodes one dispatch, in a pass of its own. */
  dispatch(encoder: GPUCommandEncoder, step: Step, label: string): void {
    const at = (2 * this.#steps.push(step) - 2) % MAX_QUERIES;
    if (at === 0) this.#sets.push(this.#gpu.createQuerySet({ type: 'timestamp', count: MAX_QUERIES }));
    const pass = encoder.beginComputePass({
      label: `${label} ${step.shader.name}`,
      timestampWrites: { querySet: this.#sets.at(-1)!, beginningOfPassWriteIndex: at, endOfPassWriteIndex: at + 1 },
    });
    const { pipeline, bindGroup } = step.native as GpuCall;
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, bindGroup);
    pass.dispatchWorkgroups(step.x, step.y, step.z);
    pass.end();
  }

  /** Encodes the copy of the stamps to the host: the last command of the encoder. */
  resolve(encoder: GPUCommandEncoder): void {
    if (this.#steps.length === 0) return;
    const size = 16 * this.#steps.length;
    const whole = 8 * MAX_QUERIES * this.#sets.length; // parts of it begin at multiples of 256 bytes
    this.#resolved = this.#gpu.createBuffer({ size: whole, usage: QUERY_RESOLVE | COPY_SRC, label: 'stamps' });
    this.#results = this.#gpu.createBuffer({ size, usage: MAP_READ | COPY_DST, label: 'stamps read back' });
    this.#sets.forEach((set, i) => {
      const count = Math.min(MAX_QUERIES, 2 * this.#steps.length - i * MAX_QUERIES);
      encoder.resolveQuerySet(set, 0, count, this.#resolved!, 8 * MAX_QUERIES * i);
    });
    encoder.copyBufferToBuffer(this.#resolved, 0, this.#results, 0, size);
  }

  /** The stamps, once the encoder's work is done; frees what they were taken with. */
  async read(): Promise<StampedStep[]> {
    const results = this.#results;
    if (!results) return [];
    try {
      await results.mapAsync(MAP_MODE_READ);
      const stamps = new BigUint64Array(results.getMappedRange().slice(0));
      return this.#steps.map((step, i) => {
        const begin = stamps[2 * i]!;
        const end = stamps[2 * i + 1]!;
        return { step, begin, end: end > begin ? end : begin }; // some drivers' clocks step back
      });
    } finally {
      results.destroy();
      this.#resolved?.destroy();
      for (const set of this.#sets) set.destroy();
    }
  }
}
