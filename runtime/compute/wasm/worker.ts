// One thread of the processor's device. It walks recorded programs by itself: each dispatch is a
// call of a kernel, of which every thread does its share, and a barrier. The device's own thread is
// not asked in between, so a token of sixty dispatches costs one message.
// The build bundles this file into text (worker.gen.ts), which starts as a worker in Node, Deno and
// browsers alike.

import {
  ARRIVED,
  ASLEEP,
  ROUND,
  type Command,
  type FromWorker,
  type KernelCall,
  type Own,
  type ToWorker,
} from './messages.ts';

/**
 * Looks at the barrier this often before a thread goes to sleep: some 20 µs. Waking one up costs
 * 35 µs, more than most dispatches; but a thread that never sleeps takes the core that the last one
 * may be waiting for.
 */
const SPINS = 4000;

interface Call {
  readonly run: (...args: number[]) => void;
  readonly args: readonly number[];
}

const isNode = typeof process === 'object' && process.versions?.node !== undefined; // or Deno
// Spelt so that no tool which reads a browser's file takes it for something that a browser needs.
const builtin = ['node', 'worker_threads'].join(':');
const port = isNode ? ((await import(builtin)) as typeof import('node:worker_threads')).parentPort! : undefined;

function post(message: FromWorker, transfer: ArrayBuffer[] = []): void {
  if (port) port.postMessage(message, transfer);
  else (globalThis as unknown as Worker).postMessage(message, transfer);
}

let memory: WebAssembly.Memory;
let control: Int32Array | undefined;
let threads = 1;
let own: Readonly<Record<Own, number>>;
const modules = new Map<number, Readonly<Record<string, (...args: number[]) => void>>>();
const programs = new Map<number, readonly Call[]>();

/** Waits until all threads have come here. */
function barrier(): void {
  if (threads === 1 || !control) return;
  const round = Atomics.load(control, ROUND);
  if (Atomics.add(control, ARRIVED, 1) === threads - 1) {
    Atomics.store(control, ARRIVED, 0);
    Atomics.add(control, ROUND, 1);
    if (Atomics.load(control, ASLEEP) > 0) Atomics.notify(control, ROUND);
    return;
  }
  for (let i = 0; i < SPINS; i++) if (Atomics.load(control, ROUND) !== round) return;
  Atomics.add(control, ASLEEP, 1);
  while (Atomics.load(control, ROUND) === round) Atomics.wait(control, ROUND, round);
  Atomics.sub(control, ASLEEP, 1);
}

function run(commands: readonly Command[], times: number[] | undefined): void {
  barrier(); // thread 0 has done what came before
  for (const command of commands) {
    if ('program' in command) {
      const calls = programs.get(command.program)!;
      for (let i = 0; i < command.times; i++) {
        for (const { run: kernel, args } of calls) {
          const begin = times ? performance.timeOrigin + performance.now() : 0;
          kernel(...args);
          barrier();
          times?.push(begin, performance.timeOrigin + performance.now());
        }
      }
    } else {
      if (own.thread === 0) bytesAt(command.to, command.bytes).set(bytesAt(command.from, command.bytes));
      barrier();
    }
  }
}

function grow(pages: number): void {
  try {
    memory.grow(pages);
  } catch {
    const [more, now] = [pages, memory.buffer.byteLength / 65536].map((count) => `${Math.ceil(count / 16)} MiB`);
    throw new RangeError(
      `its memory has ${now} and no room for ${more} more: use dtype 'float16', offload, a smaller batch or a smaller model`,
    );
  }
}

const bytesAt = (at: number, size: number): Uint8Array => new Uint8Array(memory.buffer, at, size);

function take(message: ToWorker): void {
  switch (message.kind) {
    case 'start':
      threads = message.threads;
      memory = message.memory ?? new WebAssembly.Memory({ initial: 1, maximum: 65536 });
      own = { thread: message.thread, threads, scratch: message.scratch };
      if (message.memory) control = new Int32Array(memory.buffer, message.control, 3);
      return;
    case 'module':
      modules.set(
        message.id,
        new WebAssembly.Instance(message.module, { env: { memory } }).exports as Record<string, () => void>,
      );
      return;
    case 'program':
      programs.set(message.id, message.steps.map(callOf));
      return;
    case 'forget':
      programs.delete(message.id);
      return;
    case 'grow':
      if (!control) grow(message.pages); // shared memory is grown where it is handed out
      return;
    case 'run': {
      const times: number[] | undefined = message.timed && own.thread === 0 ? [] : undefined;
      run(message.commands, times);
      if (own.thread === 0) post({ seq: message.seq, ...(times && { times: Float64Array.from(times) }) });
      return;
    }
    case 'write':
      bytesAt(message.at, message.bytes.length).set(message.bytes);
      return post({ seq: message.seq });
    case 'fill':
      bytesAt(message.at, message.size).fill(0);
      return post({ seq: message.seq });
    case 'read': {
      const bytes = bytesAt(message.at, message.size).slice().buffer as ArrayBuffer;
      return post({ seq: message.seq, bytes }, [bytes]);
    }
  }
}

const callOf = ({ module, kernel, args }: KernelCall): Call => ({
  run: modules.get(module)![kernel]!,
  args: args.map((arg) => (typeof arg === 'number' ? arg : own[arg])),
});

function receive(message: ToWorker): void {
  try {
    take(message);
  } catch (error) {
    post({ error: error instanceof Error ? `${error.name}: ${error.message}` : String(error) });
  }
}

if (port) port.on('message', receive);
else globalThis.onmessage = ({ data }: MessageEvent<ToWorker>) => receive(data);
