// A model whose weights come to the GPU when it is first used and go when they are unloaded. What
// the three GPTs of Bark and the codec have in common stands here once.

import type { Device } from './device.ts';
import type { Owner } from './ledger.ts';
import { Resident, type LoadProgress } from './residency.ts';

/** `T` is what the model computes with once its weights are on the GPU. */
export abstract class ResidentModel<T> {
  readonly #resident: Resident<T>;

  /** `owner`: the name that the weights have in the device's memory report. */
  constructor(device: Device, owner: string) {
    this.#resident = new Resident(device, owner, (ledgerOwner, progress) => this.load(ledgerOwner, progress));
  }

  /**
   * Brings the weights to the GPU and books everything to `owner`, so that unloading frees it.
   */
  protected abstract load(owner: Owner, progress: LoadProgress): Promise<T>;

  /** Uploads the weights if they are absent, and keeps them on the GPU until `run` has ended. */
  protected use<R>(run: (loaded: T) => Promise<R>, progress: LoadProgress = {}): Promise<R> {
    return this.#resident.use(run, progress);
  }

  /** Brings the weights to the GPU; does nothing when they are there. */
  upload(progress: LoadProgress = {}): Promise<void> {
    return this.#resident.upload(progress);
  }

  /**
   * Frees the weights on the GPU as soon as nothing runs on them; the next use uploads them again.
   */
  unload(): void {
    this.#resident.unload();
  }
}
