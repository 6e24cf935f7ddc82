// The ledger: every buffer of a device has an owner, so that what is held and what the peak was can
// be told exactly. And counters of what a device did.

export interface MemoryReport {
  /** Bytes held now, and the most held at any time since the device was made. */
  readonly current: number;
  readonly peak: number;
  /**
   * The same by owner, e.g. 'semantic.weights', 'semantic.cache', 'staging'. Owners that hold
   * nothing any more keep their peak.
   */
  readonly owners: Readonly<Record<string, { current: number; peak: number }>>;
}

/**
 * Whom a buffer is booked to. An object is an owner of its own that shares its name with others:
 * two models on one device.
 */
export type Owner = string | { readonly name: string };

export const ownerName = (owner: Owner): string => (typeof owner === 'string' ? owner : owner.name);

export class Ledger {
  #current = 0;
  #peak = 0;
  #owners = new Map<string, { current: number; peak: number }>();

  add(owner: string, bytes: number): void {
    const entry = this.#owners.get(owner) ?? { current: 0, peak: 0 };
    this.#owners.set(owner, entry);
    entry.current += bytes;
    entry.peak = Math.max(entry.peak, entry.current);
    this.#current += bytes;
    this.#peak = Math.max(this.#peak, this.#current);
  }

  remove(owner: string, bytes: number): void {
    const entry = this.#owners.get(owner);
    if (entry) entry.current -= bytes;
    this.#current -= bytes;
  }

  report(): MemoryReport {
    const owners = Object.fromEntries([...this.#owners].map(([name, entry]) => [name, { ...entry }]));
    return { current: this.#current, peak: this.#peak, owners };
  }
}

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

export const noCounts = (): Counters => ({
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
});
