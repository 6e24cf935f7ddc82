// Ref-counted weights: uploaded on first use, and freed once they are unloaded and idle. Callers
// that ask at the same time share one upload. Weights in use are never freed, because WebGPU
// rejects work over a destroyed buffer. Which tensors there are is up to the `load` callback.

import type { Device } from './device.ts';
import type { Owner } from './ledger.ts';

export interface LoadProgress {
  signal?: AbortSignal | undefined;
  /** Called for each tensor that has arrived. */
  onTensor?: (() => void) | undefined;
}

interface Generation<T> {
  /** Everything that was brought is booked to it. */
  readonly owner: Owner;
  readonly value: Promise<T>;
  users: number;
  retired: boolean;
}

export class Resident<T> {
  readonly #device: Device;
  readonly #name: string;
  readonly #load: (owner: Owner, progress: LoadProgress) => Promise<T>;
  #current: Generation<T> | null = null;

  /** `name`: the ledger's. `load` books all it makes to the owner that it is given. */
  constructor(device: Device, name: string, load: (owner: Owner, progress: LoadProgress) => Promise<T>) {
    this.#device = device;
    this.#name = name;
    this.#load = load;
  }

  /** Brings the weights, if they are not there, and keeps them until `run` has ended. */
  async use<R>(run: (value: T) => Promise<R>, progress: LoadProgress = {}): Promise<R> {
    for (;;) {
      progress.signal?.throwIfAborted();
      const mine = this.#current === null;
      const generation = (this.#current ??= this.#begin(progress));
      generation.users++;
      try {
        let value: T;
        try {
          value = await generation.value;
        } catch (error) {
          if (mine) throw error;
          continue; // another call's loading failed or was aborted; this one tries by itself
        }
        return await run(value);
      } finally {
        generation.users--;
        this.#freeIfIdle(generation);
      }
    }
  }

  /** Brings the weights, if they are not there. */
  async upload(progress: LoadProgress = {}): Promise<void> {
    await this.use(async () => {}, progress);
  }

  /** Frees the weights as soon as nobody uses them; the next use loads them again. */
  unload(): void {
    const generation = this.#current;
    if (!generation) return;
    this.#current = null;
    generation.retired = true;
    this.#freeIfIdle(generation);
  }

  #begin(progress: LoadProgress): Generation<T> {
    const owner = { name: this.#name };
    const generation: Generation<T> = { owner, value: this.#load(owner, progress), users: 0, retired: false };
    generation.value.catch(() => {
      generation.retired = true;
      if (this.#current === generation) this.#current = null;
      this.#freeIfIdle(generation);
    });
    return generation;
  }

  #freeIfIdle(generation: Generation<T>): void {
    if (generation.retired && generation.users === 0) this.#device.destroyOwned(generation.owner);
  }
}

/**
 * `load` beside a compilation: ends when both have, and stops loading where compiling fails, for
 * that reason. An abort is not kept waiting for the compiler, which cannot be stopped.
 */
export async function whileCompiling(
  compiling: Promise<void>,
  signal: AbortSignal | undefined,
  load: (signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const either = new AbortController(); // AbortSignal.any came with Node 20.3
  const stopped = new Promise<never>((_, reject) =>
    either.signal.addEventListener('abort', () => reject(either.signal.reason), { once: true }),
  );
  stopped.catch(() => {});
  compiling.catch((error: unknown) => either.abort(error));
  const stop = (): void => either.abort(signal!.reason);
  signal?.addEventListener('abort', stop, { once: true });
  try {
    signal?.throwIfAborted();
    await load(either.signal);
    await Promise.race([compiling, stopped]);
  } finally {
    signal?.removeEventListener('abort', stop);
  }
}
