// A GPU: its adapter, capabilities, buffers, pipelines and counters. It owns what it makes;
// `dispose()` frees all of it.
// It does not know what any shader computes: kernels are recorded into Programs (program.ts).

import { capabilitiesOf, wantedFeatures, type Capabilities } from './capabilities.ts';
import { InputError, UnsupportedError, madeBy } from '../base/errors.ts';
import { Ledger, ownerName, type MemoryReport, type Owner } from './ledger.ts';
import { webgpu } from '../host/platform.ts';
import { bindGroupLayout, compile, type Overrides, type Shader } from './shader.ts';
import { byteSize, type DType, type Tensor } from './tensor.ts';
import { dumpOf, type TensorDump } from './inside/dump.ts';
import { Trace } from './inside/trace.ts';
import { traceFile, type TraceFile } from './inside/trace_file.ts';
import { rememberedTuning, type Tuning } from './tuning_file.ts';
import { type DeviceOptions, WANTED_LIMITS, requestAdapter, adapterName, adapterWarnings } from './adapter.ts';

/** Exact on any machine, so that tests hold them where times would be noise. */
export interface Counters {
  dispatches: number;
  passes: number;
  submits: number;
  bindGroups: number;
  pipelines: number;
  buffers: number;
  bufferBytes: number;
  uploads: number;
  uploadBytes: number;
  readbacks: number;
}

// GPUBufferUsage as numbers: npm webgpu does not define the globals.
export const USAGE = { MAP_READ: 0x1, COPY_SRC: 0x4, COPY_DST: 0x8, UNIFORM: 0x40, STORAGE: 0x80 } as const;

export class Device {
  readonly gpu: GPUDevice;
  readonly info: GPUAdapterInfo;
  readonly features: ReadonlySet<string>;
  readonly limits: GPUSupportedLimits;
  readonly capabilities: Capabilities;
  /** What a user should know before long work, e.g. that the adapter is a software one. */
  readonly warnings: readonly string[];
  /** See `DeviceOptions`. Programs recorded from now on follow it. */
  tuning: Tuning;
  /** What ran when; undefined unless it was asked for (DeviceOptions.trace, BARK_TRACE). */
  readonly trace: Trace | undefined;
  readonly counters: Counters = {
    dispatches: 0,
    passes: 0,
    submits: 0,
    bindGroups: 0,
    pipelines: 0,
    buffers: 0,
    bufferBytes: 0,
    uploads: 0,
    uploadBytes: 0,
    readbacks: 0,
  };
  #ledger = new Ledger();
  #owners = new Map<GPUBuffer, Owner>();
  #layouts = new Map<string, GPUBindGroupLayout>();
  #pipelines = new Map<string, Promise<GPUComputePipeline>>();
  #staging: GPUBuffer[] = [];
  #fault: Error | undefined; // for ever: what the device was told is wrong, or it is lost
  #outOfMemory: Error | undefined; // told once: with less to hold the device goes on
  #disposed = false;
  #traceFile: TraceFile | undefined;

  private constructor(
    gpu: GPUDevice = madeBy('Device', 'Device.request()'),
    info: GPUAdapterInfo,
    subgroupId: boolean,
    tuning: Tuning,
    traced: boolean,
  ) {
    this.gpu = gpu;
    this.info = info;
    this.features = new Set(gpu.features);
    this.limits = gpu.limits;
    this.tuning = tuning;
    this.capabilities = capabilitiesOf(this.features, info, subgroupId);
    this.trace = traced ? new Trace(gpu, this.capabilities.timestamps) : undefined;
    this.warnings = adapterWarnings(info);
    gpu.addEventListener('uncapturederror', (event) => {
      if (event.error.constructor.name === 'GPUOutOfMemoryError') {
        this.#outOfMemory ??= new UnsupportedError(
          `'${adapterName(info)}' has no memory left: ${event.error.message}. Use dtype 'float16', offload, a smaller batch or a smaller model.`,
        );
      } else this.#fault ??= new UnsupportedError(`WebGPU on '${adapterName(info)}': ${event.error.message}`);
    });
    void gpu.lost.then((lost) => {
      if (this.#disposed) return;
      this.#fault ??= new UnsupportedError(
        `The GPU was lost (${lost.reason}): ${lost.message}. Make a new device; if it happens again, update the driver or use enableCpuOffload().`,
      );
    });
  }

  static async request(options: DeviceOptions = {}): Promise<Device> {
    const adapter = await requestAdapter(options, 'Device.request');
    const file = await traceFile();
    const portable = options.portable ?? false;
    const gpu = await adapter.requestDevice({
      requiredFeatures: wantedFeatures(portable).filter((f) => adapter.features.has(f)) as GPUFeatureName[],
      requiredLimits: Object.fromEntries(WANTED_LIMITS.map((name) => [name, adapter.limits[name]])),
    });
    const tuning = options.tuning ?? (portable ? {} : await rememberedTuning(adapter.info));
    const { wgslLanguageFeatures } = await webgpu();
    const subgroupId = wgslLanguageFeatures?.has('subgroup_id') ?? false;
    const device = new Device(gpu, adapter.info, subgroupId, tuning, options.trace ?? file !== undefined);
    device.#traceFile = file;
    if (device.trace) file?.traces.push(device.trace);
    return device;
  }

  get name(): string {
    return adapterName(this.info);
  }

  /**
   * Throws what the GPU reported since the last look: WebGPU tells its errors late and elsewhere.
   */
  check(): void {
    if (this.#fault) throw this.#fault;
    if (this.#outOfMemory) {
      const error = this.#outOfMemory;
      this.#outOfMemory = undefined;
      throw error;
    }
    if (this.#disposed) throw new InputError('Device: it was disposed, expected a live one. Request a new device.');
  }

  memory(): MemoryReport {
    return this.#ledger.report();
  }

  /** Makes a buffer that the ledger books under `owner`. */
  createBuffer(size: number, usage: number, owner: Owner, label = ownerName(owner)): GPUBuffer {
    this.check();
    // WebGPU refuses empty bindings, and vec4 arrays bind whole vec4s
    const bytes = Math.max(16, Math.ceil(size / 16) * 16);
    const limit =
      usage & USAGE.STORAGE
        ? Math.min(this.limits.maxStorageBufferBindingSize, this.limits.maxBufferSize)
        : this.limits.maxBufferSize;
    if (bytes > limit)
      throw new UnsupportedError(
        `${label}: needs a buffer of ${bytes} bytes, expected at most ${limit} on '${this.name}'. Use a smaller model or batch, dtype 'float16', or an adapter with larger limits.`,
      );
    const buffer = this.gpu.createBuffer({ size: bytes, usage, label });
    this.#owners.set(buffer, owner);
    this.#ledger.add(ownerName(owner), bytes);
    this.counters.buffers++;
    this.counters.bufferBytes += bytes;
    return buffer;
  }

  destroyBuffer(buffer: GPUBuffer): void {
    const owner = this.#owners.get(buffer);
    if (owner === undefined) return;
    this.#owners.delete(buffer);
    this.#ledger.remove(ownerName(owner), buffer.size);
    buffer.destroy();
  }

  /** Frees all buffers of this owner (of this very object, if it is one). */
  destroyOwned(owner: Owner): void {
    for (const [buffer, its] of [...this.#owners]) if (its === owner) this.destroyBuffer(buffer);
  }

  /** A dense tensor in a buffer of its own, zero-filled. */
  createTensor(shape: readonly number[], dtype: DType, owner: Owner, label = ownerName(owner)): Tensor {
    const buffer = this.createBuffer(
      byteSize(shape, dtype),
      USAGE.STORAGE | USAGE.COPY_DST | USAGE.COPY_SRC,
      owner,
      label,
    );
    return { buffer, offset: 0, shape, dtype, label };
  }

  /** Copies host data to the GPU, in queue order. `at` is a byte offset within the tensor. */
  write(t: Tensor, data: Float32Array | Uint32Array | Int32Array | Uint8Array, at = 0): void {
    this.check();
    if (data.byteLength === 0) return; // Deno 2.9 panics on an empty write
    this.counters.uploads++;
    this.counters.uploadBytes += data.byteLength;
    const aligned = data.byteLength % 4 === 0 ? data : padBytes(data);
    this.gpu.queue.writeBuffer(
      t.buffer,
      t.offset + at,
      aligned.buffer as ArrayBuffer,
      aligned.byteOffset,
      aligned.byteLength,
    );
  }

  /**
   * Bytes of a tensor (or of `size` of them from byte `at` on), after all work submitted so far.
   */
  async read(t: Tensor, at = 0, size = byteSize(t.shape, t.dtype) - at): Promise<ArrayBuffer> {
    this.check();
    this.counters.readbacks++;
    const start = performance.now();
    const staging = this.#takeStaging(size);
    const encoder = this.gpu.createCommandEncoder({ label: `read ${t.label}` });
    encoder.copyBufferToBuffer(t.buffer, t.offset + at, staging, 0, size);
    this.submit(encoder);
    try {
      await staging.mapAsync(MAP_MODE_READ, 0, size);
    } catch (cause) {
      this.destroyBuffer(staging);
      this.check(); // a lost device says why; the failed map does not
      throw cause;
    }
    const bytes = staging.getMappedRange(0, size).slice(0);
    staging.unmap();
    this.#staging.push(staging);
    this.trace?.span('readback', t.label, start);
    this.check();
    return bytes;
  }

  async readFloat32(t: Tensor): Promise<Float32Array> {
    return new Float32Array(await this.read(t));
  }

  /** Reads a tensor back with its smallest, largest and mean value, to look at. */
  async dump(t: Tensor): Promise<TensorDump> {
    return dumpOf(t, await this.read(t));
  }

  submit(encoder: GPUCommandEncoder): void {
    this.counters.submits++;
    this.trace?.beforeSubmit(encoder);
    this.gpu.queue.submit([encoder.finish()]);
    this.trace?.afterSubmit(encoder);
  }

  /** Resolves when all submitted work is done. */
  async settle(): Promise<void> {
    await this.gpu.queue.onSubmittedWorkDone();
    this.check();
  }

  layout(shader: Shader): GPUBindGroupLayout {
    let layout = this.#layouts.get(shader.name);
    if (!layout) this.#layouts.set(shader.name, (layout = bindGroupLayout(this.gpu, shader)));
    return layout;
  }

  /**
   * The pipeline of a shader with these override values; compiled once, off the JavaScript thread.
   */
  pipeline(shader: Shader, overrides: Overrides): Promise<GPUComputePipeline> {
    const key = `${shader.name} ${Object.keys(overrides)
      .sort()
      .map((k) => `${k}=${overrides[k]}`)
      .join(' ')}`;
    let pipeline = this.#pipelines.get(key);
    if (!pipeline) {
      this.counters.pipelines++;
      this.#pipelines.set(key, (pipeline = compile(this.gpu, shader, this.layout(shader), overrides)));
    }
    return pipeline;
  }

  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#traceFile?.write();
    for (const buffer of [...this.#owners.keys()]) this.destroyBuffer(buffer);
    this.#staging = [];
    this.gpu.destroy();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /**
   * Read-backs share a few mappable buffers; sizes are powers of two so that they fit each other.
   */
  #takeStaging(size: number): GPUBuffer {
    const at = this.#staging.findIndex((b) => b.size >= size);
    if (at >= 0) return this.#staging.splice(at, 1)[0]!;
    return this.createBuffer(
      Math.min(2 ** Math.ceil(Math.log2(Math.max(size, 256))), this.limits.maxBufferSize),
      USAGE.MAP_READ | USAGE.COPY_DST,
      'staging',
    );
  }
}

const MAP_MODE_READ = 1; // GPUMapMode.READ

function padBytes(data: ArrayBufferView): Uint8Array {
  const padded = new Uint8Array(Math.ceil(data.byteLength / 4) * 4);
  padded.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  return padded;
}
