// The memory of the processor's device: one WebAssembly memory, of which buffers are ranges.

import { UnsupportedError } from '../../base/errors.ts';
import { byteCount } from '../../base/messages.ts';

const PAGE = 65536;
/** 32-bit WebAssembly has no more; a browser on a small machine may refuse to reserve it. */
const MOST_PAGES = [65536, 32768, 16384, 8192];
/** Ranges begin at multiples of this, as WebGPU asks of bindings; and no cache line is shared. */
const ALIGNED = 256;

interface Range {
  at: number;
  size: number;
}

/** Hands out ranges of a memory that grows. */
export class Memory {
  /** Shared by all threads; null where pages may not share memory: then a thread has its own. */
  readonly shared: WebAssembly.Memory | null;
  /** The most bytes it can grow to. */
  readonly limit: number;
  readonly #grow: (pages: number) => void;
  /** Its size now, in pages of 64 KiB. */
  pages = 1;
  #free: Range[] = []; // by address; no two touch
  #top = PAGE; // all above was never used and is zero

  /** `grow` is told how many pages more a memory of a thread's own needs. */
  constructor(shared: boolean, grow: (pages: number) => void) {
    this.shared = shared ? reserve() : null;
    this.limit = (this.shared ? maximumOf.get(this.shared)! : MOST_PAGES[0]!) * PAGE;
    this.#grow = grow;
  }

  /**
   * The address of `size` bytes, and whether they are zero because nobody had them before. Throws
   * `UnsupportedError` where there is no room.
   */
  take(size: number, label: string): { at: number; fresh: boolean } {
    const bytes = Math.ceil(size / ALIGNED) * ALIGNED;
    const hole = this.#free
      .filter((range) => range.size >= bytes)
      .reduce<Range | undefined>((best, range) => (best && best.size <= range.size ? best : range), undefined);
    if (hole) {
      const { at } = hole;
      hole.at += bytes;
      hole.size -= bytes;
      if (hole.size === 0) this.#free.splice(this.#free.indexOf(hole), 1);
      return { at, fresh: false };
    }
    this.#reach(this.#top + bytes, bytes, label);
    const at = this.#top;
    this.#top += bytes;
    return { at, fresh: true };
  }

  give(at: number, size: number): void {
    const range = { at, size: Math.ceil(size / ALIGNED) * ALIGNED };
    let i = this.#free.findIndex((other) => other.at > at);
    if (i < 0) i = this.#free.length;
    const before = this.#free[i - 1];
    const after = this.#free[i];
    if (before && before.at + before.size === at) {
      before.size += range.size;
      if (after && before.at + before.size === after.at) {
        before.size += after.size;
        this.#free.splice(i, 1);
      }
    } else if (after && at + range.size === after.at) {
      after.at = at;
      after.size += range.size;
    } else this.#free.splice(i, 0, range);
  }

  /** The bytes of a range, to read and write in place; only of shared memory. */
  view(at: number, size: number): Uint8Array<ArrayBuffer> | undefined {
    // Typed as an ArrayBuffer's: whoever fills it, such as a file's read, need not know better.
    return this.shared ? (new Uint8Array(this.shared.buffer, at, size) as Uint8Array<ArrayBuffer>) : undefined;
  }

  /** Grows so that it has bytes up to `end`, by an eighth or 16 MiB more than now if it may. */
  #reach(end: number, bytes: number, label: string): void {
    const needed = Math.ceil(end / PAGE) - this.pages;
    if (needed <= 0) return;
    const room = this.limit / PAGE - this.pages;
    const pages = Math.min(Math.max(needed, 256, this.pages >> 3), room);
    try {
      if (needed > room) throw new RangeError(`at most ${byteCount(this.limit)} of memory`);
      if (this.shared) this.shared.grow(pages);
      else this.#grow(pages);
    } catch (cause) {
      throw new UnsupportedError(
        `${label}: needs ${byteCount(bytes)} beside the ${byteCount(this.#top)} in use, expected that WebAssembly's memory has room (${(cause as Error).message}). Use dtype 'float16', offload, a smaller batch or a smaller model.`,
        { cause },
      );
    }
    this.pages += pages;
  }
}

const maximumOf = new WeakMap<WebAssembly.Memory, number>();

function reserve(): WebAssembly.Memory {
  for (const maximum of MOST_PAGES) {
    try {
      const memory = new WebAssembly.Memory({ initial: 1, maximum, shared: true });
      maximumOf.set(memory, maximum);
      return memory;
    } catch {
      // The next one asks for less.
    }
  }
  throw new UnsupportedError(
    'WebAssembly: got no shared memory, expected room for 512 MiB. Close other pages or programs, or use a 64-bit browser.',
  );
}
