// WebGPU as what a device computes with: buffers, pipelines, bind groups, command encoders.

import { USAGE, type Backend, type Commands, type DeviceEvents, type Recorded } from '../backend.ts';
import { adapterName } from '../adapter.ts';
import { capabilitiesOf, type Capabilities } from '../capabilities.ts';
import { UnsupportedError } from '../../base/errors.ts';
import { Stamps, type StampedStep } from '../inside/stamps.ts';
import { Trace } from '../inside/trace.ts';
import { bindGroupLayout, compile, type Overrides, type Shader } from '../shader.ts';
import type { Step } from '../step.ts';
import { byteSize, type DeviceBuffer, type Tensor } from '../tensor.ts';
import type { GpuCall } from './gpu_call.ts';

export class WebGpuBackend implements Backend {
  readonly kind = 'webgpu';
  readonly gpu: GPUDevice;
  readonly info: GPUAdapterInfo;
  readonly features: ReadonlySet<string>;
  readonly limits: GPUSupportedLimits;
  readonly capabilities: Capabilities;
  readonly #layouts = new Map<string, GPUBindGroupLayout>();
  #trace: Trace | undefined;
  #staging: GPUBuffer[] = [];
  readonly #events: DeviceEvents;
  #destroyed = false;

  constructor(gpu: GPUDevice, info: GPUAdapterInfo, subgroupId: boolean, events: DeviceEvents) {
    this.gpu = gpu;
    this.info = info;
    this.features = new Set(gpu.features);
    this.limits = gpu.limits;
    this.capabilities = capabilitiesOf(this.features, info, subgroupId);
    this.#events = events;
    gpu.addEventListener('uncapturederror', (event) => {
      if (event.error.constructor.name === 'GPUOutOfMemoryError')
        events.failed(
          new UnsupportedError(
            `'${adapterName(info)}' has no memory left: ${event.error.message}. Use dtype 'float16', offload, a smaller batch or a smaller model.`,
          ),
        );
      else events.fault(new UnsupportedError(`WebGPU on '${adapterName(info)}': ${event.error.message}`));
    });
    void gpu.lost.then((lost) => {
      if (this.#destroyed) return;
      events.fault(
        new UnsupportedError(
          `The GPU was lost (${lost.reason}): ${lost.message}. Make a new device; if it happens again, update the driver or use enableCpuOffload().`,
        ),
      );
    });
  }

  traced(): Trace {
    return (this.#trace ??= new Trace(this.gpu, this.capabilities.timestamps));
  }

  createBuffer(size: number, usage: number, label: string): GPUBuffer {
    return this.gpu.createBuffer({ size, usage, label });
  }

  destroyBuffer(buffer: DeviceBuffer): void {
    (buffer as GPUBuffer).destroy();
  }

  write(buffer: DeviceBuffer, at: number, bytes: Uint8Array): void {
    this.gpu.queue.writeBuffer(
      buffer as GPUBuffer,
      at,
      bytes.buffer as ArrayBuffer,
      bytes.byteOffset,
      bytes.byteLength,
    );
  }

  view(): undefined {} // WebGPU maps only buffers that no kernel may bind

  async read(buffer: DeviceBuffer, at: number, size: number, label: string): Promise<ArrayBuffer> {
    const staging = this.#takeStaging(size);
    const commands = this.commands(`read ${label}`);
    commands.copy(buffer, at, staging, 0, size);
    commands.submit();
    try {
      await staging.mapAsync(MAP_MODE_READ, 0, size);
    } catch (cause) {
      this.#events.staged(-staging.size);
      staging.destroy();
      throw cause;
    }
    const bytes = staging.getMappedRange(0, size).slice(0);
    staging.unmap();
    this.#staging.push(staging);
    return bytes;
  }

  /**
   * Read-backs share a few mappable buffers; sizes are powers of two so that they fit each other.
   */
  #takeStaging(size: number): GPUBuffer {
    const at = this.#staging.findIndex((b) => b.size >= size);
    if (at >= 0) return this.#staging.splice(at, 1)[0]!;
    const bytes = Math.min(2 ** Math.ceil(Math.log2(Math.max(size, 256))), this.limits.maxBufferSize);
    const staging = this.createBuffer(bytes, USAGE.MAP_READ | USAGE.COPY_DST, 'staging');
    this.#events.staged(bytes);
    return staging;
  }

  layout(shader: Shader): GPUBindGroupLayout {
    let layout = this.#layouts.get(shader.name);
    if (!layout) this.#layouts.set(shader.name, (layout = bindGroupLayout(this.gpu, shader)));
    return layout;
  }

  compile(shader: Shader, overrides: Overrides): Promise<GPUComputePipeline> {
    return compile(this.gpu, shader, this.layout(shader), overrides);
  }

  step(
    { shader, overrides, bind, grid, compiled, entries }: Recorded,
    params: DeviceBuffer | null,
    label: string,
  ): Step {
    const [x, y = 1, z = 1] = grid;
    const bindGroup = this.gpu.createBindGroup({
      label: `${label} ${shader.name}`,
      layout: this.layout(shader),
      entries: entries.map((b, binding) => ({
        binding,
        resource: typeof b === 'number' ? { buffer: params as GPUBuffer, offset: 4 * b, size: 256 } : range(b),
      })),
    });
    return { shader, overrides, bind, x, y, z, native: { pipeline: compiled, bindGroup } as GpuCall };
  }

  forget(): void {} // bind groups go with the last reference to them

  commands(label: string): GpuCommands {
    return new GpuCommands(this, label, this.#trace);
  }

  async profile(steps: readonly Step[], label: string): Promise<StampedStep[]> {
    const encoder = this.gpu.createCommandEncoder({ label });
    const stamps = new Stamps(this.gpu);
    for (const step of steps) stamps.dispatch(encoder, step, label);
    stamps.resolve(encoder);
    this.gpu.queue.submit([encoder.finish()]);
    return stamps.read();
  }

  async done(): Promise<void> {
    await this.gpu.queue.onSubmittedWorkDone();
  }

  destroy(): void {
    this.#destroyed = true;
    for (const staging of this.#staging) {
      this.#events.staged(-staging.size);
      staging.destroy();
    }
    this.#staging = [];
    this.gpu.destroy();
  }
}

const MAP_MODE_READ = 1; // GPUMapMode.READ

// Bindings of vec4 arrays must hold whole vec4s; buffers are multiples of 16 bytes for that reason.
const range = (t: Tensor): GPUBufferBinding => ({
  buffer: t.buffer as GPUBuffer,
  offset: t.offset,
  size: Math.max(16, Math.ceil(byteSize(t.shape, t.dtype) / 16) * 16),
});

/** A command encoder, and the trace of what it encodes. */
export class GpuCommands implements Commands {
  readonly label: string;
  readonly #gpu: GPUDevice;
  /** For who measures; everyone else appends by the methods. */
  readonly encoder: GPUCommandEncoder;
  readonly #trace: Trace | undefined;

  constructor({ gpu }: WebGpuBackend, label: string, trace?: Trace) {
    this.label = label;
    this.#gpu = gpu;
    this.encoder = gpu.createCommandEncoder({ label });
    this.#trace = trace;
  }

  run(steps: readonly Step[], times: number, label: string): void {
    this.#trace?.begin(this.encoder, label);
    if (this.#trace?.stamped) {
      for (let i = 0; i < times; i++) this.#trace.encode(this.encoder, steps, label);
      return;
    }
    const pass = this.encoder.beginComputePass({ label });
    let current: GPUComputePipeline | null = null;
    for (let i = 0; i < times; i++) {
      for (const step of steps) {
        const { pipeline, bindGroup } = step.native as GpuCall;
        if (pipeline !== current) pass.setPipeline((current = pipeline));
        pass.setBindGroup(0, bindGroup);
        pass.dispatchWorkgroups(step.x, step.y, step.z);
      }
    }
    pass.end();
  }

  copy(from: DeviceBuffer, fromAt: number, to: DeviceBuffer, toAt: number, bytes: number): void {
    this.encoder.copyBufferToBuffer(from as GPUBuffer, fromAt, to as GPUBuffer, toAt, bytes);
  }

  submit(): void {
    this.#trace?.beforeSubmit(this.encoder);
    this.#gpu.queue.submit([this.encoder.finish()]);
    this.#trace?.afterSubmit(this.encoder);
  }
}
