// The folder that a conversion writes. It is built beside its final place under a temporary name
// and renamed once every file is on the disk, so that nobody ever finds half a model there.
// Node and Deno; a browser has no folders.

import type { Dirent } from 'node:fs';
import { InputError } from '../../runtime/base/errors.ts';
import { makeFolder } from '../../runtime/host/make_folder.ts';
import { VOICE_LIST } from '../processor/voice_list.ts';

export const WEIGHTS = 'model.safetensors';
export const TOKENIZER_FILES = ['tokenizer.json', 'vocab.txt', 'tokenizer_config.json', 'special_tokens_map.json'];
/** Every file that a conversion writes, besides the voices, which are .npy files in subfolders. */
const OUR_FILES: readonly string[] = ['config.json', 'generation_config.json', WEIGHTS, VOICE_LIST, ...TOKENIZER_FILES];

/** The folder that is being written. */
export interface Place {
  readonly folder: string;
  /** Throws `InputError` where `label`, the source of the conversion, is this very folder. */
  refuse(label: string): Promise<void>;
  /** Checks that `bytes` of disk space are free and creates the temporary folder. */
  start(bytes: number): Promise<void>;
  /** The path of a file in the temporary folder. */
  path(file: string): Promise<string>;
  write(file: string, content: string | Uint8Array): Promise<void>;
  /** Renames the temporary folder to its final name. */
  finish(): Promise<void>;
  /** Removes the temporary folder, and the folders above it that `start` created. */
  abandon(): Promise<void>;
}

export async function openPlace(to: string, force: boolean): Promise<Place> {
  const fs = await import('node:fs/promises');
  const { basename, dirname, join, resolve } = await import('node:path');
  const failed = (cause: unknown): never => {
    if (cause instanceof InputError) throw cause;
    throw new InputError(
      `${to}: got ${(cause as NodeJS.ErrnoException).code ?? String(cause)} while writing, expected a folder that can be written. Check its permissions and the free space.`,
      { cause },
    );
  };
  if (to.trim() === '') throw new InputError('convert: got an empty path, expected the folder to write.');
  const folder = await fs.realpath(to).catch(() => resolve(to));
  const parent = dirname(folder);
  if (parent === folder)
    throw new InputError(`${to}: got the root of a disk, expected a folder to write. Name a new one.`);
  const beside = (end: string) => join(parent, `.${basename(folder).slice(0, 100)}.${crypto.randomUUID()}.${end}`);
  const building = beside('tmp');
  let firstMade: string | undefined; // the uppermost of the parent folders that `start` created

  const check = async (): Promise<boolean> => {
    const found = await fs.lstat(folder).catch(() => undefined);
    if (!found) return false;
    if (!found.isDirectory()) throw new InputError(`${to}: got a file, expected a folder to write. Name a new one.`);
    if ((await fs.readdir(folder)).length === 0) return true;
    if (!force)
      throw new InputError(
        `${to}: got a folder that is not empty, expected a new one. Set force (--force) to replace it, or name another.`,
      );
    const foreign = await foreignFile(folder);
    if (foreign !== undefined)
      throw new InputError(
        `${to}: got a folder with ${JSON.stringify(foreign)}, expected nothing but a converted model to replace. Name a new folder, or clear this one yourself.`,
      );
    return true;
  };
  await check();

  const full = async (file: string) => {
    const path = join(building, file);
    await makeFolder(dirname(path)).catch(failed);
    return path;
  };
  const sync = async (path: string) => {
    const handle = await fs.open(path, 'r').catch(() => undefined); // not every system opens folders
    await handle?.sync().catch(() => {});
    await handle?.close();
  };
  return {
    folder: to,
    async refuse(label) {
      if ((await fs.realpath(label).catch(() => undefined)) === folder)
        throw new InputError(`${to}: got the same folder twice, expected another one to write. Name a new folder.`);
    },
    async start(bytes) {
      firstMade = await makeFolder(parent).catch(failed);
      const free = await fs.statfs(parent).catch(() => undefined);
      if (free && free.bavail * free.bsize < bytes)
        throw new InputError(
          `${to}: got ${free.bavail * free.bsize} bytes of free space, expected ${bytes}. Make room, or name a folder on another disk.`,
        );
      await removeStale(parent, basename(folder), 'tmp');
      await fs.mkdir(building).catch(failed);
    },
    path: full,
    async write(file, content) {
      const handle = await fs.open(await full(file), 'wx').catch((cause: NodeJS.ErrnoException) => {
        if (cause.code !== 'EEXIST') failed(cause); // two voices may share a file
      });
      try {
        await handle?.writeFile(content).catch(failed);
        await handle?.sync().catch(failed);
      } finally {
        await handle?.close();
      }
    },
    async finish() {
      await sync(building);
      if (await check()) {
        const old = beside('old');
        await fs.rename(folder, old).catch(failed);
        await fs.rename(building, folder).catch(async (cause: unknown) => {
          await fs.rename(old, folder);
          failed(cause);
        });
        await fs.rm(old, { recursive: true }).catch(failed);
      } else await fs.rename(building, folder).catch(failed);
      await sync(parent);
      // Not before: until the new model is in place, a left-over old one may be the only copy.
      await removeStale(parent, basename(folder), 'old');
    },
    async abandon() {
      await fs.rm(building, { recursive: true, force: true }).catch(() => {});
      for (
        let made = firstMade && parent;
        made !== undefined && made.length >= firstMade!.length;
        made = dirname(made)
      ) {
        if (
          !(await fs.rmdir(made).then(
            () => true,
            () => false,
          ))
        )
          break; // not empty: another program uses it by now
      }
    },
  };
}

// Milliseconds without a change. A conversion that is still running writes all the time.
const STALE = 3_600_000;

/** Removes what killed conversions to the same folder have left. */
async function removeStale(parent: string, name: string, ending: 'tmp' | 'old'): Promise<void> {
  const fs = await import('node:fs/promises');
  const start = `.${name.slice(0, 100)}.`;
  const left = (await fs.readdir(parent).catch(() => [])).filter(
    (entry) =>
      entry.startsWith(start) && /^[\da-f-]{36}\.\w+$/.test(entry.slice(start.length)) && entry.endsWith(ending),
  );
  for (const entry of left) {
    const path = `${parent}/${entry}`;
    const files = await fs.readdir(path, { recursive: true }).catch(() => undefined);
    if (!files) continue;
    const times = await Promise.all(
      ['', ...files].map((file) =>
        fs.lstat(`${path}/${file}`).then(
          ({ mtimeMs }) => mtimeMs,
          () => Infinity,
        ),
      ),
    );
    if (Date.now() - Math.max(...times) > STALE) await fs.rm(path, { recursive: true, force: true }).catch(() => {});
  }
}

/**
 * The first entry of a folder that no conversion writes; undefined where there is none. Links are
 * foreign, too.
 */
async function foreignFile(folder: string): Promise<string | undefined> {
  const fs = await import('node:fs/promises');
  const walk = async (path: string): Promise<string | undefined> => {
    const allowed = (entry: Dirent) =>
      entry.isFile() && (path === '' ? OUR_FILES.includes(entry.name) : entry.name.endsWith('.npy'));
    for (const entry of await fs.readdir(`${folder}/${path}`, { withFileTypes: true })) {
      const name = path === '' ? entry.name : `${path}/${entry.name}`;
      const foreign = entry.isDirectory() ? await walk(name) : allowed(entry) ? undefined : name;
      if (foreign !== undefined) return foreign;
    }
    return undefined;
  };
  // Without a config.json, subfolders of .npy files are somebody's data and not a model's voices.
  const isModel = (await fs.stat(`${folder}/config.json`).catch(() => undefined))?.isFile() === true;
  return isModel ? walk('') : (await fs.readdir(folder))[0];
}
