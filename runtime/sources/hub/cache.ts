// The cache folder of one Hub model, laid out as Python's huggingface_hub does, so that either side
// finds what the other fetched: models--org--name/{blobs/<etag>, snapshots/<commit>/<path> → blob,
// refs/<revision>, .no_exist/<commit>/<path>}.
// Fetches nothing and deletes nothing of value. Reference: huggingface_hub/file_download.py.

import { makeFolder } from '../../host/make_folder.ts';
import { replaceFile } from '../../host/write_file.ts';
import { DownloadError } from '../../base/errors.ts';
import { cacheFolder, commitPattern, isTrue } from './settings.ts';

export interface HubCache {
  /** The folder of this model; it need not exist. */
  readonly folder: string;
  /** Where this library keeps its locks for it. */
  readonly locks: string;
  readonly blobs: string;
  /** The commit that a branch or tag had when it was last looked at. */
  commitOf(revision: string): Promise<string | undefined>;
  /** Remembers that; where the folder cannot be written, it stays as it was. */
  remember(revision: string, commit: string): Promise<void>;
  hasSnapshot(commit: string): Promise<boolean>;
  /** The path of a file that is here. */
  find(commit: string, parts: readonly string[]): Promise<string | undefined>;
  /** Whether the Hub said that this commit has no such file. */
  isAbsent(commit: string, parts: readonly string[]): Promise<boolean>;
  markAbsent(commit: string, parts: readonly string[]): Promise<void>;
  /** Whether the blob is here whole, as far as its size tells. */
  hasBlob(etag: string, size: number | undefined): Promise<boolean>;
  /**
   * Makes a blob a file of the snapshot. `fresh`: no other file can be this blob yet, so it may be
   * moved where links are not possible.
   */
  link(commit: string, parts: readonly string[], etag: string, fresh: boolean): Promise<string>;
}

/** Opens the cache; `cacheDir` beats the environment. Touches nothing. */
export async function openHubCache(id: string, cacheDir?: string): Promise<HubCache> {
  const fs = await import('node:fs/promises');
  const { dirname, join, relative } = await import('node:path');
  const root = await cacheFolder(cacheDir);
  const name = `models--${id.replace('/', '--')}`;
  const folder = join(root, name);
  const blobs = join(folder, 'blobs');

  const stat = (path: string) =>
    fs.stat(path).catch((cause: NodeJS.ErrnoException) => {
      if (cause.code === 'ENOENT' || cause.code === 'ENOTDIR') return undefined;
      throw cacheError(path, cause);
    });

  async function commitOf(revision: string): Promise<string | undefined> {
    const text = await fs.readFile(join(folder, 'refs', ...revision.split('/')), 'utf8').catch(() => '');
    return commitPattern.test(text.trim()) ? text.trim() : undefined;
  }

  return {
    folder,
    blobs,
    locks: join(root, '.locks', name),
    commitOf,
    async remember(revision, commit) {
      if (revision === commit || (await commitOf(revision)) === commit) return;
      const path = join(folder, 'refs', ...revision.split('/'));
      await makeFolder(dirname(path)).catch(() => {});
      await replaceFile(path, (next) => fs.writeFile(next, commit)).catch(() => {});
    },
    hasSnapshot: async (commit) => (await stat(join(folder, 'snapshots', commit)))?.isDirectory() === true,
    async find(commit, parts) {
      const path = join(folder, 'snapshots', commit, ...parts);
      return (await stat(path))?.isFile() ? path : undefined;
    },
    isAbsent: async (commit, parts) => (await stat(join(folder, '.no_exist', commit, ...parts)))?.isFile() === true,
    async markAbsent(commit, parts) {
      const path = join(folder, '.no_exist', commit, ...parts);
      await makeFolder(dirname(path)).catch(() => {});
      await fs.writeFile(path, '', { flag: 'a' }).catch(() => {});
    },
    async hasBlob(etag, size) {
      const found = await stat(join(blobs, etag));
      return found?.isFile() === true && (size === undefined || found.size === size);
    },
    async link(commit, parts, etag, fresh) {
      const path = join(folder, 'snapshots', commit, ...parts);
      const blob = join(blobs, etag);
      try {
        await makeFolder(dirname(path));
        // backups skip the folder
        await fs.writeFile(join(root, 'CACHEDIR.TAG'), CACHE_TAG, { flag: 'wx' }).catch(() => {});
        try {
          if (isTrue('HF_HUB_DISABLE_SYMLINKS')) throw new Error('links are not wanted');
          await replaceFile(path, (next) => fs.symlink(relative(dirname(path), blob), next, 'file'));
        } catch {
          // Windows without developer mode, and some network folders, know no symbolic links.
          if (fresh) await fs.rename(blob, path);
          else await replaceFile(path, (next) => fs.copyFile(blob, next));
        }
      } catch (cause) {
        // Two processes may get here at once, and one of them move the blob; the file is what
        // counts.
        if (!(await stat(path))?.isFile()) throw cacheError(path, cause);
      }
      return path;
    },
  };
}

const CACHE_TAG =
  'Signature: 8a477f597d28d172789f06886806bc55\n# This folder holds downloads that can be fetched again. See https://bford.info/cachedir/\n';

/** What a failed read or write in the cache means to its owner. */
export function cacheError(path: string, cause: unknown): DownloadError {
  const code = (cause as NodeJS.ErrnoException)?.code ?? (cause as Error)?.message ?? String(cause);
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    return new DownloadError(
      `${path}: got ${code}, expected free disk space. Free some and try again: what was fetched is kept. Or choose another disk with HF_HUB_CACHE.`,
      { cause, reason: 'disk' },
    );
  }
  if (code === 'EROFS' || code === 'EACCES' || code === 'EPERM') {
    return new DownloadError(
      `${path}: got ${code}, expected a cache folder that can be read and written. Check its permissions, or choose another with HF_HUB_CACHE or cacheDir.`,
      { cause, reason: 'disk' },
    );
  }
  return new DownloadError(
    `${path}: got ${code}, expected to use it as part of the cache folder. Check the disk, or choose another with HF_HUB_CACHE.`,
    { cause, reason: 'disk' },
  );
}
