// The processor as what a device computes with: WebAssembly with four lanes of f32, on as many
// threads as the process may use. Buffers are ranges of one memory, a dispatch is a call of a
// kernel, and a recorded program is handed to the threads whole. The thread that asks never
// computes, so an event loop stays free.

import type { Backend, Commands, DeviceEvents, DeviceInfo, Recorded } from '../backend.ts';
import type { Capabilities } from '../capabilities.ts';
import { UnsupportedError } from '../../base/errors.ts';
import { Trace } from '../inside/trace.ts';
import type { Overrides, Shader } from '../shader.ts';
import type { Step } from '../step.ts';
import type { DeviceBuffer } from '../tensor.ts';
import { Memory } from './memory.ts';
import { GRID, OWN, SCRATCH_BYTES, type Command, type KernelCall, type Own, type ToWorker } from './messages.ts';
import { compileModule, type KernelModule } from './module.ts';
import type { StartThread } from './pool.ts';
import { CONTROL_BYTES, Queue } from './queue.ts';

interface WasmBuffer extends DeviceBuffer {
  readonly address: number;
}

interface Compiled {
  readonly module: number;
  readonly kernel: string;
  readonly parameters: readonly string[];
}

/** What the processor can do as a device. */
export interface Processor {
  readonly info: DeviceInfo;
  /** Of 'simd', 'relaxed-simd' and 'threads': whether threads can share memory. */
  readonly features: ReadonlySet<string>;
  readonly threads: number;
}

const ANY = 2 ** 31 - 1;

export class WasmBackend implements Backend {
  readonly kind = 'wasm';
  readonly info: DeviceInfo;
  readonly features: ReadonlySet<string>;
  readonly limits;
  readonly capabilities: Capabilities = {
    subgroups: false,
    subgroupMinSize: 0,
    subgroupMaxSize: 0,
    subgroupSizeControl: false,
    f16: true,
    timestamps: true,
    subgroupMatrices: [],
  };
  readonly threads: number;
  readonly #queue: Queue;
  readonly #memory: Memory;
  readonly #modules = new Map<KernelModule, { readonly id: number; readonly module: WebAssembly.Module }>();
  readonly #programs = new Map<readonly Step[], number>();
  #trace: Trace | undefined;
  #made = 0; // ids of programs

  constructor(start: StartThread, { info, features, threads }: Processor, events: DeviceEvents) {
    this.info = info;
    this.features = features;
    this.threads = threads;
    const shared = features.has('threads');
    this.#memory = new Memory(shared, (pages) => this.#queue?.tell({ kind: 'grow', pages }));
    this.#queue = new Queue({
      start,
      threads,
      memory: this.#memory.shared,
      control: this.#memory.take(CONTROL_BYTES, 'barrier').at,
      scratch: this.#memory.take(threads * SCRATCH_BYTES, 'scratch').at,
      events,
      known: () => this.#known(),
    });
    const bytes = this.#memory.limit - 65536;
    this.limits = {
      maxBufferSize: bytes,
      maxStorageBufferBindingSize: bytes,
      maxStorageBuffersPerShaderStage: ANY,
      maxComputeWorkgroupStorageSize: ANY,
      maxComputeInvocationsPerWorkgroup: ANY,
      maxComputeWorkgroupSizeX: ANY,
      maxComputeWorkgroupsPerDimension: ANY,
    };
  }

  traced(): Trace {
    return (this.#trace ??= new Trace(undefined, true));
  }

  createBuffer(size: number, _usage: number, label: string): WasmBuffer {
    const { at, fresh } = this.#memory.take(size, label);
    if (!fresh) this.#queue.ask({ kind: 'fill', at, size });
    return { address: at, size, label };
  }

  destroyBuffer(buffer: DeviceBuffer): void {
    // Whoever gets this range next reaches it only through messages behind those of before.
    this.#memory.give((buffer as WasmBuffer).address, buffer.size);
  }

  write(buffer: DeviceBuffer, at: number, bytes: Uint8Array): void {
    const address = (buffer as WasmBuffer).address + at;
    // Straight into the memory while no thread has work that could still read or write it.
    const view = this.#queue.idle ? this.#memory.view(address, bytes.length) : undefined;
    if (view) view.set(bytes);
    else this.#queue.ask({ kind: 'write', at: address, bytes: bytes.slice() });
  }

  /** The memory of a buffer itself, for who knows that nothing submitted uses it. */
  view(buffer: DeviceBuffer): Uint8Array<ArrayBuffer> | undefined {
    return this.#memory.view((buffer as WasmBuffer).address, buffer.size);
  }

  async read(buffer: DeviceBuffer, at: number, size: number, label: string): Promise<ArrayBuffer> {
    const start = performance.now();
    const { bytes } = await this.#queue.answer({ kind: 'read', at: (buffer as WasmBuffer).address + at, size });
    this.#trace?.submitted(`read ${label}`, start, Promise.resolve([]));
    return bytes!;
  }

  async compile({ name, processor }: Shader, _overrides: Overrides): Promise<Compiled> {
    if (!processor)
      throw new UnsupportedError(
        `${name}: got a kernel without a form for processors, expected one with it. Use a device with backend 'webgpu'.`,
      );
    const { module, parameters } = processor;
    const code = await compileModule(module, this.#memory.shared !== null);
    let known = this.#modules.get(module);
    if (!known) {
      this.#modules.set(module, (known = { id: this.#modules.size, module: code }));
      this.#queue.tell({ kind: 'module', ...known });
    }
    return { module: known.id, kernel: name, parameters };
  }

  step({ shader, overrides, bind, grid, compiled, entries }: Recorded, params: DeviceBuffer | null): Step {
    const { parameters, module, kernel } = compiled as Compiled;
    const base = (params as WasmBuffer | null)?.address ?? 0;
    const [x, y = 1, z = 1] = grid;
    const args = parameters.map((name) => {
      const along = (GRID as readonly string[]).indexOf(name);
      if (along >= 0) return [x, y, z][along]!;
      if ((OWN as readonly string[]).includes(name)) return name as Own;
      const bound = entries[shader.bindings.findIndex((binding) => binding.name === name)];
      if (typeof bound === 'number') return base + 4 * bound;
      if (bound) return (bound.buffer as WasmBuffer).address + bound.offset;
      const value = overrides[name];
      if (value === undefined)
        throw new UnsupportedError(
          `${shader.name}: its form for processors asks for ${name}, which the dispatch lacks.`,
        );
      return value;
    });
    return { shader, overrides, bind, x, y, z, native: { module, kernel, args } satisfies KernelCall };
  }

  forget(steps: readonly Step[]): void {
    const id = this.#programs.get(steps);
    if (id === undefined) return;
    this.#programs.delete(steps);
    this.#queue.tell({ kind: 'forget', id });
  }

  /** The id under which the threads know these steps. */
  #program(steps: readonly Step[]): number {
    let id = this.#programs.get(steps);
    if (id === undefined) {
      this.#programs.set(steps, (id = this.#made++));
      this.#queue.tell(programMessage(id, steps));
    }
    return id;
  }

  commands(label: string): Commands {
    const commands: Command[] = [];
    const ran: Step[] = [];
    let name: string | undefined;
    return {
      label,
      run: (steps, times, program) => {
        if (steps.length === 0) return 0;
        name ??= program;
        commands.push({ program: this.#program(steps), times });
        if (!this.#trace) return 1;
        for (let i = 0; i < times; i++) ran.push(...steps);
        return times * steps.length;
      },
      copy: (from, fromAt, to, toAt, bytes) =>
        void commands.push({
          from: (from as WasmBuffer).address + fromAt,
          to: (to as WasmBuffer).address + toAt,
          bytes,
        }),
      submit: () => {
        const start = performance.now();
        if (!this.#trace) {
          this.#queue.ask({ kind: 'run', commands, timed: false });
          return 1;
        }
        const answer = this.#queue.answer({ kind: 'run', commands, timed: true }, true);
        this.#trace.submitted(
          name ?? label,
          start,
          answer.then(({ times }) => stamped(ran, times!)),
        );
        return 1;
      },
    };
  }

  async profile(steps: readonly Step[]): Promise<{ step: Step; begin: bigint; end: bigint }[]> {
    const commands = [{ program: this.#program(steps), times: 1 }];
    const { times } = await this.#queue.answer({ kind: 'run', commands, timed: true });
    return stamped(steps, times!);
  }

  /** What threads that start are to know. */
  *#known(): Iterable<ToWorker> {
    if (this.#memory.pages > 1) yield { kind: 'grow', pages: this.#memory.pages - 1 };
    for (const known of this.#modules.values()) yield { kind: 'module', ...known };
    for (const [steps, id] of this.#programs) yield programMessage(id, steps);
  }

  done(): Promise<void> {
    return this.#queue.done();
  }

  destroy(): void {
    this.#queue.destroy();
  }
}

const programMessage = (id: number, steps: readonly Step[]): ToWorker => ({
  kind: 'program',
  id,
  steps: steps.map(({ native }) => native as KernelCall),
});

/** Steps with their times, given in ms. */
const stamped = (steps: readonly Step[], times: Float64Array): { step: Step; begin: bigint; end: bigint }[] =>
  steps.map((step, i) => ({
    step,
    begin: BigInt(Math.round(1e6 * times[2 * i]!)),
    end: BigInt(Math.round(1e6 * times[2 * i + 1]!)),
  }));
