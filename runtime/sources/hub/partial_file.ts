// A file that is still on its way: which part of it lies on disk, the hash of that part, and going
// on from there. Parts have names of their own, so that Python's huggingface_hub never takes one
// for whole.

import type { Hash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { cacheError, type HubCache } from './cache.ts';
import type { RemoteFile } from './request.ts';
import type { HubSettings } from './settings.ts';

export interface BlobJob {
  readonly hub: HubSettings;
  readonly cache: HubCache;
  /** The file at its commit. The Hub itself is asked at each try: links that it gives expire. */
  readonly url: string;
  /** Path in the repository. */
  readonly path: string;
  readonly file: RemoteFile;
  /** Whether the file or its blob has arrived, be it by another process. */
  isHere(): Promise<boolean>;
}

const REHASH_CHUNK = 2 ** 22;

/** The partial files of this blob, the longest first. */
export async function partials({ cache, file }: BlobJob): Promise<{ name: string; size: number }[]> {
  const fs = await import('node:fs/promises');
  const names = await fs.readdir(cache.blobs).catch(() => []);
  const found = names
    .filter((name) => name.startsWith(`${file.etag}.`) && name.endsWith('.partial'))
    .map(async (name) => ({ name, size: (await fs.stat(`${cache.blobs}/${name}`).catch(() => undefined))?.size ?? 0 }));
  return (await Promise.all(found)).sort((a, b) => b.size - a.size);
}

/** What this holder of the lock has on disk so far. */
export interface Partial {
  readonly path: string;
  readonly handle: FileHandle;
  length: number;
  total: number | undefined;
  /**
   * Of the first `length` bytes; undefined where it must be taken at the end, or the etag is no
   * hash.
   */
  hash: Hash | undefined;
}

/** Hashes what is there, so that the rest can follow. */
export async function takeUp(partial: Partial, signal?: AbortSignal): Promise<void> {
  const { size } = await partial.handle.stat();
  if (!partial.hash) return void (partial.length = size);
  const chunk = new Uint8Array(Math.min(REHASH_CHUNK, Math.max(size, 1)));
  while (partial.length < size) {
    signal?.throwIfAborted();
    const { bytesRead } = await partial.handle.read(chunk, 0, chunk.length, partial.length);
    if (bytesRead === 0) return;
    partial.hash.update(chunk.subarray(0, bytesRead));
    partial.length += bytesRead;
  }
}

/**
 * sha256 of a large file, git's sha1 of a small one; undefined for another etag, or where git's
 * needs a size that is not known.
 */
export async function newHash(etag: string, size: number | undefined): Promise<Hash | undefined> {
  const { createHash } = await import('node:crypto');
  if (/^[0-9a-f]{64}$/.test(etag)) return createHash('sha256');
  if (/^[0-9a-f]{40}$/.test(etag) && size !== undefined) return createHash('sha1').update(`blob ${size}\0`);
  return undefined;
}

export async function isWhole(partial: Partial, etag: string, signal?: AbortSignal): Promise<boolean> {
  if (!partial.hash && (partial.hash = await newHash(etag, partial.length))) {
    partial.length = 0;
    await takeUp(partial, signal);
  }
  return !partial.hash || partial.hash.digest('hex') === etag;
}

export async function restart(partial: Partial, etag: string): Promise<void> {
  await partial.handle.truncate(0);
  partial.length = 0;
  partial.hash &&= await newHash(etag, partial.total);
}

export async function append(partial: Partial, bytes: Uint8Array, folder: string): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    const { bytesWritten } = await partial.handle
      .write(bytes, done, bytes.length - done, partial.length + done)
      .catch((cause: unknown) => {
        throw cacheError(folder, cause);
      });
    done += bytesWritten;
  }
  partial.hash?.update(bytes);
  partial.length += bytes.length;
}
