// A device: a GPU through WebGPU, or the processor's threads with WebAssembly. It owns what it
// makes, counts it and knows whose it is; `dispose()` frees all of it. What computes is its backend
// (backend.ts).
// It does not know what any kernel computes: kernels are recorded into Programs (program.ts).

import { adapterName, chooseBackend, type DeviceOptions } from './adapter.ts';
import { USAGE, type Backend, type BackendKind, type Commands, type DeviceEvents } from './backend.ts';
import type { Capabilities } from './capabilities.ts';
import { InputError, UnsupportedError, madeBy } from '../base/errors.ts';
import { Ledger, noCounts, ownerName, type MemoryReport, type Owner } from './ledger.ts';
import type { Overrides, Shader } from './shader.ts';
import { byteSize, type DeviceBuffer, type DType, type Tensor } from './tensor.ts';
import { dumpOf, type TensorDump } from './inside/dump.ts';
import type { Trace } from './inside/trace.ts';
import { traceFile, type TraceFile } from './inside/trace_file.ts';
import { rememberedTuning, type Tuning } from './tuning_file.ts';
import { openWasm } from './wasm/open.ts';
import { WebGpuBackend } from './webgpu/backend.ts';
import { openWebGpu } from './webgpu/open.ts';

export class Device {
  /** What it computes with; for the runtime itself. */
  readonly backend: Backend;
  /** What a user should know before long work, e.g. that the adapter is a software one. */
  readonly warnings: readonly string[];
  /** See `DeviceOptions`. Programs recorded from now on follow it. */
  tuning: Tuning;
  /** What ran when; undefined unless it was asked for (DeviceOptions.trace, BARK_TRACE). */
  readonly trace: Trace | undefined;
  readonly counters = noCounts();
  #ledger = new Ledger();
  #owners = new Map<DeviceBuffer, Owner>();
  #pipelines = new Map<string, Promise<unknown>>();
  #fault: Error | undefined; // for ever: what the device was told is wrong, or it is lost
  #failed: Error | undefined; // told once: with less to hold, or once more, the device goes on
  #disposed = false;
  #traceFile: TraceFile | undefined;

  private constructor(
    open: (events: DeviceEvents) => Backend = madeBy('Device', 'Device.request()'),
    warnings: readonly string[],
    tuning: Tuning,
    traced: boolean,
  ) {
    this.backend = open({
      fault: (error) => void (this.#fault ??= error),
      failed: (error) => void (this.#failed ??= error),
      staged: (bytes) => this.#staged(bytes),
    });
    this.warnings = warnings;
    this.tuning = tuning;
    this.trace = traced ? this.backend.traced() : undefined;
  }

  /**
   * A device as the options ask. `backend: 'auto'`, the default, takes a GPU where there is one,
   * else the processor; a Vulkan driver that computes on the processor is used only where it is
   * asked for, since WebAssembly is several times as fast. Throws UnsupportedError with what to do
   * where there is none.
   */
  static async request(options: DeviceOptions = {}): Promise<Device> {
    const { kind, adapter, why } = await chooseBackend(options, 'Device.request');
    const file = await traceFile();
    const found = kind === 'webgpu' ? await openWebGpu(adapter!, options) : await openWasm(options, why);
    const tuning = options.tuning ?? (options.portable ? {} : await rememberedTuning(found.info));
    const device = new Device(found.open, found.warnings, tuning, options.trace ?? file !== undefined);
    device.#traceFile = file;
    if (device.trace) file?.traces.push(device.trace);
    return device;
  }

  get kind(): BackendKind {
    return this.backend.kind;
  }

  get info(): Backend['info'] {
    return this.backend.info;
  }

  get features(): ReadonlySet<string> {
    return this.backend.features;
  }

  get limits(): Backend['limits'] {
    return this.backend.limits;
  }

  get capabilities(): Capabilities {
    return this.backend.capabilities;
  }

  /** WebGPU's own device. Throws UnsupportedError where the processor computes. */
  get gpu(): GPUDevice {
    if (this.backend instanceof WebGpuBackend) return this.backend.gpu;
    throw new UnsupportedError(
      `Device.gpu: '${this.name}' computes without WebGPU, expected a GPU. Request a device with backend: 'webgpu'.`,
    );
  }

  get name(): string {
    return adapterName(this.info);
  }

  /**
   * Throws what went wrong since the last look: WebGPU and threads tell their errors late and
   * elsewhere.
   */
  check(): void {
    if (this.#fault) throw this.#fault;
    if (this.#failed) {
      const error = this.#failed;
      this.#failed = undefined;
      throw error;
    }
    if (this.#disposed) throw new InputError('Device: it was disposed, expected a live one. Request a new device.');
  }

  memory(): MemoryReport {
    return this.#ledger.report();
  }

  /** Makes a buffer that the ledger books under `owner`. */
  createBuffer(size: number, usage: number, owner: Owner, label = ownerName(owner)): DeviceBuffer {
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
    const buffer = this.backend.createBuffer(bytes, usage, label);
    this.#owners.set(buffer, owner);
    this.#ledger.add(ownerName(owner), bytes);
    this.counters.buffers++;
    this.counters.bufferBytes += bytes;
    return buffer;
  }

  destroyBuffer(buffer: DeviceBuffer): void {
    const owner = this.#owners.get(buffer);
    if (owner === undefined) return;
    this.#owners.delete(buffer);
    this.#ledger.remove(ownerName(owner), buffer.size);
    this.backend.destroyBuffer(buffer);
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
    const bytes = new Uint8Array(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength);
    this.backend.write(t.buffer, t.offset + at, bytes.length % 4 === 0 ? bytes : padBytes(bytes));
  }

  /** The memory of a tensor's buffer itself, if the device gives it away (see Backend.view). */
  view(t: Tensor): Uint8Array<ArrayBuffer> | undefined {
    return this.backend.view(t.buffer);
  }

  /**
   * Bytes of a tensor (or of `size` of them from byte `at` on), after all work submitted so far.
   */
  async read(t: Tensor, at = 0, size = byteSize(t.shape, t.dtype) - at): Promise<ArrayBuffer> {
    this.check();
    this.counters.readbacks++;
    this.counters.submits++;
    const start = performance.now();
    try {
      return await this.backend.read(t.buffer, t.offset + at, size, t.label);
    } catch (cause) {
      this.check(); // a lost device says why; the failed read does not
      throw cause;
    } finally {
      this.trace?.span('readback', t.label, start);
      if (!this.#disposed) this.check();
    }
  }

  async readFloat32(t: Tensor): Promise<Float32Array> {
    return new Float32Array(await this.read(t));
  }

  /** Reads a tensor back with its smallest, largest and mean value, to look at. */
  async dump(t: Tensor): Promise<TensorDump> {
    return dumpOf(t, await this.read(t));
  }

  /** Commands that run in order once they are submitted. */
  commands(label: string): Commands {
    this.check();
    const commands = this.backend.commands(label);
    const { counters } = this;
    return {
      label,
      run: (steps, times, name) => {
        counters.dispatches += times * steps.length;
        const passes = commands.run(steps, times, name);
        counters.passes += passes;
        return passes;
      },
      copy: (from, fromAt, to, toAt, bytes) => commands.copy(from, fromAt, to, toAt, bytes),
      submit: () => {
        const submits = commands.submit();
        counters.submits += submits;
        return submits;
      },
    };
  }

  /** Resolves when all that was submitted so far is done. */
  done(): Promise<void> {
    return this.backend.done();
  }

  /** As `done`, and throws what went wrong until then. */
  async settle(): Promise<void> {
    await this.done();
    this.check();
  }

  /**
   * The pipeline of a shader with these override values; compiled once, off the JavaScript thread.
   */
  pipeline(shader: Shader, overrides: Overrides): Promise<unknown> {
    const key = `${shader.name} ${Object.keys(overrides)
      .sort()
      .map((k) => `${k}=${overrides[k]}`)
      .join(' ')}`;
    let pipeline = this.#pipelines.get(key);
    if (!pipeline) {
      this.counters.pipelines++;
      this.#pipelines.set(key, (pipeline = this.backend.compile(shader, overrides)));
    }
    return pipeline;
  }

  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#traceFile?.write();
    for (const buffer of [...this.#owners.keys()]) this.destroyBuffer(buffer);
    this.backend.destroy();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /** A read-back took `bytes` for its staging buffer, or gave them back. */
  #staged(bytes: number): void {
    if (bytes > 0) {
      this.counters.buffers++;
      this.counters.bufferBytes += bytes;
      this.#ledger.add('staging', bytes);
    } else this.#ledger.remove('staging', -bytes);
  }
}

function padBytes(bytes: Uint8Array): Uint8Array {
  const padded = new Uint8Array(Math.ceil(bytes.length / 4) * 4);
  padded.set(bytes);
  return padded;
}
