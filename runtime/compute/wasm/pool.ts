// The threads of the processor's device: worker_threads in Node and Deno, Web Workers in browsers.
// They do not keep a process alive while they have nothing to do (Deno's Web Workers would).

import { UnsupportedError } from '../../base/errors.ts';
import { host } from '../../host/platform.ts';
import type { FromWorker, ToWorker } from './messages.ts';
import { checkPolicy, workerUrl } from './policy.ts';
import { source } from './worker.gen.ts';

interface Thread {
  post(message: ToWorker, transfer: ArrayBuffer[]): void;
  stop(): void;
  /** Whether the process waits for this thread before it ends. */
  hold(on: boolean): void;
}

export interface PoolEvents {
  message(message: FromWorker): void;
  /** A thread ended or told of an error; the pool is of no use any more. */
  crashed(reason: string): void;
}

export type StartThread = (events: PoolEvents) => Thread;

/** What starts a thread on this host. */
async function threadStarter(): Promise<StartThread> {
  if (host !== 'browser') {
    const { Worker } = await import('node:worker_threads');
    const url = new URL(`data:text/javascript,${encodeURIComponent(source)}`);
    return ({ message, crashed }) => {
      // Loaders such as tsx, which the host may run with, are not for this self-contained text.
      const worker = new Worker(url, { execArgv: [], name: 'bark-webgpu' });
      worker.on('message', message);
      worker.on('error', (error) => crashed(error.message));
      worker.on('exit', (code) => crashed(`it ended with code ${code}`));
      worker.unref();
      return {
        post: (data, transfer) => worker.postMessage(data, transfer),
        stop: () => {
          worker.removeAllListeners();
          void worker.terminate();
        },
        hold: (on) => (on ? worker.ref() : worker.unref()),
      };
    };
  }
  await checkPolicy();
  const url = workerUrl(source);
  return ({ message, crashed }) => {
    const worker = new Worker(url, { type: 'module', name: 'bark-webgpu' });
    worker.onmessage = ({ data }: MessageEvent<FromWorker>) => message(data);
    worker.onerror = (event) => {
      event.preventDefault();
      crashed(event.message || 'it could not be started');
    };
    return {
      post: (data, transfer) => worker.postMessage(data, transfer),
      stop: () => {
        worker.onmessage = worker.onerror = null;
        worker.terminate();
      },
      hold: () => {},
    };
  };
}

let starter: Promise<StartThread> | undefined;

/** Loads what threads need on this host, so that a pool can be made at once. */
export function loadThreads(): Promise<StartThread> {
  return (starter ??= threadStarter());
}

export class Pool {
  readonly #threads: Thread[];
  #stopped = false;

  constructor(start: StartThread, count: number, { message, crashed }: PoolEvents) {
    const fail = (reason: string): void => {
      if (this.#stopped) return;
      this.stop();
      crashed(reason);
    };
    try {
      this.#threads = Array.from({ length: count }, () => start({ message, crashed: fail }));
    } catch (cause) {
      throw new UnsupportedError(
        `WebAssembly: no thread could be started: ${(cause as Error).message}. Use fewer threads.`,
        { cause },
      );
    }
  }

  /** To thread `thread`, or to all of them. */
  post(message: ToWorker | ((thread: number) => ToWorker), thread?: number, transfer: ArrayBuffer[] = []): void {
    for (const [i, each] of this.#threads.entries())
      if (thread === undefined || thread === i)
        each.post(typeof message === 'function' ? message(i) : message, transfer);
  }

  hold(on: boolean): void {
    this.#threads[0]?.hold(on);
  }

  stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    for (const thread of this.#threads) thread.stop();
  }
}
