// The order of what the threads are told. Messages that thread 0 answers are numbered; whoever
// waits for one learns of it here, and so does everyone when a thread crashes.

import type { DeviceEvents } from '../backend.ts';
import { UnsupportedError } from '../../base/errors.ts';
import { SCRATCH_BYTES, type FromWorker, type Start, type ToWorker } from './messages.ts';
import { Pool, type StartThread } from './pool.ts';

export const CONTROL_BYTES = 256;

/** A message that is answered, before it has its number. */
export type Question = WithoutNumber<Extract<ToWorker, { seq: number }>>;
type WithoutNumber<T> = T extends unknown ? Omit<T, 'seq'> : never;
export type Answer = Extract<FromWorker, { seq: number }>;

interface Waiting {
  readonly seq: number;
  /** Nobody hears of its failure. */
  readonly quiet: boolean;
  resolve(message: Answer): void;
  reject(error: Error): void;
}

export interface QueueOptions {
  readonly start: StartThread;
  readonly threads: number;
  /** The memory that threads share; null where the only thread has its own. */
  readonly memory: WebAssembly.Memory | null;
  /** Addresses of the barrier's words, and of SCRATCH_BYTES for each thread. */
  readonly control: number;
  readonly scratch: number;
  readonly events: DeviceEvents;
  /** What threads that start anew must be told. */
  known(): Iterable<ToWorker>;
}

export class Queue {
  readonly #options: QueueOptions;
  #pool: Pool | undefined;
  #waiting: Waiting[] = [];
  #sent = 0;
  #answered = 0;
  #destroyed = false;

  constructor(options: QueueOptions) {
    this.#options = options;
  }

  /** Whether the threads have nothing to do. */
  get idle(): boolean {
    return this.#answered === this.#sent;
  }

  /** To all threads, if there are any yet: those that start later are told by `known`. */
  tell(message: ToWorker): void {
    this.#pool?.post(message);
  }

  /** Sends what thread 0 answers; a run goes to all threads. */
  ask(message: Question): number {
    const transfer = message.kind === 'write' ? [message.bytes.buffer as ArrayBuffer] : [];
    const pool = this.#running(); // before it counts: it may be that no thread starts
    const seq = ++this.#sent;
    pool.hold(true);
    pool.post({ ...message, seq } as ToWorker, message.kind === 'run' ? undefined : 0, transfer);
    return seq;
  }

  /** `quiet`: whoever waits does not tell of a failure. */
  answer(message: Question, quiet = false): Promise<Answer> {
    return new Promise((resolve, reject) => this.#waiting.push({ seq: this.ask(message), quiet, resolve, reject }));
  }

  /** Resolves when all that was asked so far is done. */
  done(): Promise<void> {
    const seq = this.#sent;
    if (this.idle) return Promise.resolve();
    return new Promise((resolve, reject) =>
      this.#waiting.push({ seq, quiet: false, resolve: () => resolve(), reject }),
    );
  }

  destroy(): void {
    this.#destroyed = true;
    this.#pool?.stop();
    this.#pool = undefined;
    this.#fail(new UnsupportedError('The device was disposed while it computed. Await what runs before dispose().'));
  }

  /** The threads; started anew where they crashed, with all that they had been told. */
  #running(): Pool {
    if (this.#pool) return this.#pool;
    const { start, threads, memory, control, scratch, known } = this.#options;
    const pool = new Pool(start, threads, {
      message: (message) => this.#hear(message),
      crashed: (reason) => this.#crash(reason),
    });
    this.#pool = pool;
    if (memory) new Int32Array(memory.buffer, control, CONTROL_BYTES / 4).fill(0);
    pool.post((thread): Start => ({
      kind: 'start',
      thread,
      threads,
      memory,
      control,
      scratch: scratch + thread * SCRATCH_BYTES,
    }));
    for (const message of known()) pool.post(message);
    return pool;
  }

  #hear(message: FromWorker): void {
    if ('error' in message) return this.#crash(message.error);
    this.#answered = message.seq;
    const ready = this.#waiting.filter(({ seq }) => seq <= message.seq);
    this.#waiting = this.#waiting.filter(({ seq }) => seq > message.seq);
    for (const { resolve } of ready) resolve(message);
    if (this.idle) this.#pool?.hold(false);
  }

  #crash(reason: string): void {
    if (this.#destroyed) return;
    this.#pool?.stop();
    this.#pool = undefined;
    const { memory, events } = this.#options;
    const error = new UnsupportedError(
      memory
        ? `A thread of the processor's device crashed (${reason}): what it computed is lost, the weights are not. Call again; new threads are started.`
        : `The thread of the processor's device crashed (${reason}), and its memory with it. Make a new device and load the model again.`,
    );
    const told = this.#fail(error);
    if (!memory) events.fault(error);
    else if (!told) events.failed(error); // whoever looks next
  }

  /** Ends all waiting; returns whether someone hears of it. */
  #fail(error: Error): boolean {
    this.#answered = this.#sent;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const { reject } of waiting) reject(error);
    return waiting.some(({ quiet }) => !quiet);
  }
}
