// WebGPU as what a device computes with: buffers, pipelines, bind groups, command encoders.

import { USAGE, type Backend, type Commands, type DeviceEvents, type Recorded } from '../backend.ts';
import { adapterName, isSoftware } from '../adapter.ts';
import { capabilitiesOf, type Capabilities } from '../capabilities.ts';
import { UnsupportedError } from '../../base/errors.ts';
import { Stamps, type StampedStep } from '../inside/stamps.ts';
import { Trace } from '../inside/trace.ts';
import { bindGroupLayout, compile, type Overrides, type Shader } from '../shader.ts';
import type { Step } from '../step.ts';
import { byteSize, type DeviceBuffer, type Tensor } from '../tensor.ts';
import type { GpuCall } from './gpu_call.ts';
import { SubmitLengths } from './submit_lengths.ts';

export class WebGpuBackend implements Backend {
  readonly kind = 'webgpu';
  readonly gpu: GPUDevice;
  readonly info: GPUAdapterInfo;
  readonly features: ReadonlySet<string>;
  readonly limits: GPUSupportedLimits;
  readonly capabilities: Capabilities;
  /** Null: submits hold what they are given. Nobody resets a driver that computes on the processor. */
  submitLengths: SubmitLengths | null;
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
    this.submitLengths = isSoftware(info) ? null : new SubmitLengths();
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
  readonly #trace: Trace | undefined;
  readonly #lengths: SubmitLengths | null;
  #encoder: GPUCommandEncoder;
  /** What the encoder holds: dispatches by program, all of them, and what they should take. */
  #dispatches = new Map<string, number>();
  #held = 0;
  #ms = 0;
  #submits = 0;

  constructor({ gpu, submitLengths }: WebGpuBackend, label: string, trace?: Trace) {
    this.label = label;
    this.#gpu = gpu;
    this.#trace = trace;
    // With stamps each dispatch is a pass of its own, and times are not those of everyday use.
    this.#lengths = trace?.stamped ? null : submitLengths;
    this.#encoder = gpu.createCommandEncoder({ label });
  }

  /** For who measures; everyone else appends by the methods. */
  get encoder(): GPUCommandEncoder {
    return this.#encoder;
  }

  run(steps: readonly Step[], times: number, label: string): number {
    this.#trace?.begin(this.#encoder, label);
    const total = times * steps.length;
    if (this.#trace?.stamped) {
      for (let i = 0; i < times; i++) this.#trace.encode(this.#encoder, steps, label);
      return total;
    }
    let passes = 0;
    const program = `${label} ${steps.length}`;
    for (let from = 0; from < total;) {
      const room = this.#lengths?.room(program, this.#held, this.#ms) ?? total;
      if (room <= 0) {
        this.#flush();
        this.#encoder = this.#gpu.createCommandEncoder({ label: this.label });
        this.#trace?.begin(this.#encoder, label);
        continue;
      }
      const to = Math.min(total, from + room);
      this.#pass(steps, from, to, label);
      passes++;
      if (this.#lengths) {
        this.#dispatches.set(program, (this.#dispatches.get(program) ?? 0) + to - from);
        this.#held += to - from;
        this.#ms += this.#lengths.expected(program, to - from);
      }
      from = to;
    }
    return passes;
  }

  /** Dispatches `from` up to `to` of the steps, over and over, in one pass. */
  #pass(steps: readonly Step[], from: number, to: number, label: string): void {
    const pass = this.#encoder.beginComputePass({ label });
    let current: GPUComputePipeline | null = null;
    let at = from % steps.length;
    for (let i = from; i < to; i++) {
      const step = steps[at]!;
      if (++at === steps.length) at = 0;
      const { pipeline, bindGroup } = step.native as GpuCall;
      if (pipeline !== current) pass.setPipeline((current = pipeline));
      pass.setBindGroup(0, bindGroup);
      pass.dispatchWorkgroups(step.x, step.y, step.z);
    }
    pass.end();
  }

  copy(from: DeviceBuffer, fromAt: number, to: DeviceBuffer, toAt: number, bytes: number): void {
    this.#encoder.copyBufferToBuffer(from as GPUBuffer, fromAt, to as GPUBuffer, toAt, bytes);
  }

  submit(): number {
    this.#flush();
    return this.#submits;
  }

  /** Submits what is encoded so far. */
  #flush(): void {
    const { queue } = this.#gpu;
    this.#trace?.beforeSubmit(this.#encoder);
    queue.submit([this.#encoder.finish()]);
    this.#trace?.afterSubmit(this.#encoder);
    this.#submits++;
    if (this.#lengths && this.#held > 0)
      // A lost device rejects; whoever uses it next is told why.
      this.#lengths.submitted(this.#dispatches, queue.onSubmittedWorkDone()).catch(() => {});
    this.#dispatches = new Map();
    this.#held = 0;
    this.#ms = 0;
  }
}
