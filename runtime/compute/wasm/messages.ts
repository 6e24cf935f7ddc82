// What the device (backend.ts) and its threads (worker.ts) say to each other. Each thread takes its
// messages in their order; what thread 0 alone does (writes, reads) is ordered before the next run
// of all, because a run begins with a barrier.

/** Names of parameters that are not bindings or overrides: each thread has values of its own. */
export const OWN = ['thread', 'threads', 'scratch'] as const;
export type Own = (typeof OWN)[number];
/** Names of parameters that are the dispatch's grid, which on a GPU counts workgroups. */
export const GRID = ['gridX', 'gridY', 'gridZ'] as const;

/** Bytes of the memory `scratch` that each thread has to itself; kernels are built with the number. */
export const SCRATCH_BYTES = 4 << 20;

/** A dispatch: an exported function of a module, and its arguments in order. */
export interface KernelCall {
  readonly module: number;
  readonly kernel: string;
  readonly args: readonly (number | Own)[];
}

export interface Start {
  readonly kind: 'start';
  readonly thread: number;
  readonly threads: number;
  /** The memory that all threads share; without one the only thread makes its own. */
  readonly memory: WebAssembly.Memory | null;
  /** Addresses of the barrier's words and of this thread's scratch memory. */
  readonly control: number;
  readonly scratch: number;
}

export type Command =
  | { readonly program: number; readonly times: number }
  | { readonly from: number; readonly to: number; readonly bytes: number };

/** `seq` numbers the messages that thread 0 answers when it has done what they say. */
export type ToWorker =
  | Start
  | { readonly kind: 'module'; readonly id: number; readonly module: WebAssembly.Module }
  | { readonly kind: 'program'; readonly id: number; readonly steps: readonly KernelCall[] }
  | { readonly kind: 'forget'; readonly id: number }
  | { readonly kind: 'grow'; readonly pages: number }
  | { readonly kind: 'run'; readonly seq: number; readonly commands: readonly Command[]; readonly timed: boolean }
  | { readonly kind: 'write'; readonly seq: number; readonly at: number; readonly bytes: Uint8Array }
  | { readonly kind: 'fill'; readonly seq: number; readonly at: number; readonly size: number }
  | { readonly kind: 'read'; readonly seq: number; readonly at: number; readonly size: number };

export type FromWorker =
  | {
      readonly seq: number;
      readonly bytes?: ArrayBuffer;
      /** Begin and end of each dispatch of a timed run, in ms since 1970. */
      readonly times?: Float64Array;
    }
  | { readonly error: string };

/** Words at `Start.control`: threads that have arrived, the round, and threads that sleep. */
export const ARRIVED = 0;
export const ROUND = 1;
export const ASLEEP = 2;
