// What a device computes with, seen from above: memory that is made, written and read, kernels that
// are compiled, and commands that run in order. Two things are one: WebGPU (webgpu/backend.ts), and
// the processor's own threads with WebAssembly (wasm/backend.ts). Everything else of a device
// (ledger, counters, programs, trace) is the same for both and knows neither.

import type { Capabilities } from './capabilities.ts';
import type { Overrides, Shader } from './shader.ts';
import type { Step } from './step.ts';
import type { DeviceBuffer, Tensor } from './tensor.ts';
import type { Trace } from './inside/trace.ts';

export type BackendKind = 'webgpu' | 'wasm';

/** GPUBufferUsage as numbers: npm webgpu does not define the globals. */
export const USAGE = { MAP_READ: 0x1, COPY_SRC: 0x4, COPY_DST: 0x8, UNIFORM: 0x40, STORAGE: 0x80 } as const;

/** What the device at hand says about itself, in WebGPU's words. */
export interface DeviceInfo {
  readonly vendor: string;
  readonly architecture: string;
  readonly device: string;
  readonly description: string;
  readonly isFallbackAdapter?: boolean;
}

/** The limits that are looked at; WebGPU's names, of which a device may have more. */
type DeviceLimits = Readonly<
  Record<
    | 'maxBufferSize'
    | 'maxStorageBufferBindingSize'
    | 'maxStorageBuffersPerShaderStage'
    | 'maxComputeWorkgroupStorageSize'
    | 'maxComputeInvocationsPerWorkgroup'
    | 'maxComputeWorkgroupSizeX'
    | 'maxComputeWorkgroupsPerDimension',
    number
  >
>;

/** A dispatch as it was recorded, its kernel compiled: what a backend makes a Step of. */
export interface Recorded {
  readonly shader: Shader;
  readonly overrides: Overrides;
  readonly bind: Step['bind'];
  readonly grid: readonly [number, number?, number?];
  /** What `Backend.compile` resolved to. */
  readonly compiled: unknown;
  /** For each binding a tensor, or the first of its words in the program's params. */
  readonly entries: readonly (Tensor | number)[];
}

/** Commands in their order, which run when they are submitted. */
export interface Commands {
  readonly label: string;
  /** The steps of a program, `times` times over. Returns in how many passes: a stamped dispatch is one of its own. */
  run(steps: readonly Step[], times: number, label: string): number;
  copy(from: DeviceBuffer, fromAt: number, to: DeviceBuffer, toAt: number, bytes: number): void;
  /** Returns how many submits they became: a GPU gets long work in several. */
  submit(): number;
}

/** How a backend tells of what went wrong between calls. */
export interface DeviceEvents {
  /** The device is of no use any more: what it was told is wrong, or it is lost. */
  fault(error: Error): void;
  /** One call failed; with less to hold, or once more, the next may succeed. */
  failed(error: Error): void;
  /** A read-back took so many bytes for a buffer of its own, or gave them back (negative). */
  staged(bytes: number): void;
}

export interface Backend {
  readonly kind: BackendKind;
  readonly info: DeviceInfo;
  readonly features: ReadonlySet<string>;
  readonly limits: DeviceLimits;
  readonly capabilities: Capabilities;
  /** Zero-filled. `usage` as in WebGPU. Throws UnsupportedError where there is no memory. */
  createBuffer(size: number, usage: number, label: string): DeviceBuffer;
  /** Its memory is free again once all that was submitted is done. */
  destroyBuffer(buffer: DeviceBuffer): void;
  /** In the order of what is submitted. `bytes` are whole words and may be reused at once. */
  write(buffer: DeviceBuffer, at: number, bytes: Uint8Array): void;
  /**
   * The memory of a buffer itself, for who knows that nothing submitted uses it: files are read
   * into it without a copy. Undefined where there is no such access.
   */
  view(buffer: DeviceBuffer): Uint8Array<ArrayBuffer> | undefined;
  /** Bytes of a buffer after all that was submitted so far. */
  read(buffer: DeviceBuffer, at: number, size: number, label: string): Promise<ArrayBuffer>;
  /** Throws UnsupportedError where the kernel cannot run here. */
  compile(shader: Shader, overrides: Overrides): Promise<unknown>;
  /** `params` holds the program's params, each a binding of 256 bytes. */
  step(recorded: Recorded, params: DeviceBuffer | null, label: string): Step;
  /** The steps of a program that will not run any more. */
  forget(steps: readonly Step[]): void;
  commands(label: string): Commands;
  /** Runs the steps once, each timed: when it began and ended, in nanoseconds of one clock. */
  profile(steps: readonly Step[], label: string): Promise<{ step: Step; begin: bigint; end: bigint }[]>;
  /** Resolves when all that was submitted so far is done. */
  done(): Promise<void>;
  /** Called once, before anything is submitted, where a trace is wanted. */
  traced(): Trace;
  destroy(): void;
}
