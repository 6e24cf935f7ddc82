// Places a model lies in: a folder on disk (Node, Deno), a folder behind http(s) with byte ranges,
// or Blobs by name; the Hub is hub.ts's. Reads ranges and nothing more: no cache, no retries, no
// download to disk.

import { blobBytes, checkedRanges, missingFile, openFile, pathParts, unreadable } from '../files/bytes.ts';
import { InputError, UnsupportedError, WeightsError } from '../base/errors.ts';
import { shown } from '../base/messages.ts';
import { checkOptions, isPromise } from '../base/options.ts';
import { foreignFile, kindOf } from '../files/file_kind.ts';
import { hasHttpFile, openHttpFile } from '../files/http_file.ts';
import { openHub } from './hub/hub.ts';
import { HUB_OPTIONS, hubId, type HubOptions } from './hub/settings.ts';
import { host } from '../host/platform.ts';
import type { ModelSource } from '../files/model_source.ts';

const MOST_NAMES = 1000;

export { blobBytes, pathParts } from '../files/bytes.ts';

/**
 * What `fromPretrained` accepts; a `Map` holds the folder's paths, a file list is what a browser's
 * folder picker gives.
 */
export type ModelSourceLike = string | URL | ModelSource | ReadonlyMap<string, Blob> | ArrayLike<File>;

/**
 * Opens the place a model lies in; costs at most one look at the folder.
 * Throws `WeightsError` for a folder that is not there, `InputError` for what is none of these.
 */
export async function openModelSource(source: ModelSourceLike, hub: HubOptions = {}): Promise<ModelSource> {
  checkOptions('openModelSource', hub, HUB_OPTIONS);
  if (source instanceof URL) return openUrl(source, hub);
  if (typeof source === 'string') {
    if (/^(https?|file):/i.test(source)) return openUrl(parseUrl(source), hub);
    if (source.trim() === '')
      throw new InputError('Model: got an empty string, expected a folder or a URL. Pass the path of a model folder.');
    if (host !== 'browser') return openFolder(source, hub);
    if (/^\.{0,2}\//.test(source)) return openUrl(parseUrl(source, globalThis.location?.href), hub);
    if (hubId.test(source)) return openHub(source, hub);
    throw new InputError(
      `Model: got ${JSON.stringify(source)}, expected a URL. In a browser a served folder starts with https:, / or ./.`,
    );
  }
  const { open, has, length } = (source ?? {}) as Partial<ModelSource & ArrayLike<File>>;
  if (typeof open === 'function' && typeof has === 'function') return source as ModelSource;
  if (source instanceof Map) return blobSource(source);
  if (typeof source === 'object' && typeof length === 'number')
    return blobSource(blobsByPath(source as ArrayLike<File>));
  throw new InputError(
    `Model: got ${shown(source, 'setting')}, expected a folder's path, a URL, org/name of the Hub, a Map of Blobs or a list of files. ${isPromise(source) ? 'Write await before it.' : 'Pass the path of a model folder, and options second.'}`,
  );
}

/** Throws `InputError` for a revision of what has none: it would be ignored, and other files read. */
export function refuseRevision(label: string, { revision }: HubOptions): void {
  if (revision !== undefined)
    throw new InputError(
      `${label}: got the revision ${shown(revision, 'setting')}, expected none: only a model of the Hub has revisions. Leave it out, or name the model as org/name.`,
    );
}

// A folder on disk.

async function openFolder(folder: string, hub?: HubOptions): Promise<ModelSource> {
  const fs = await import('node:fs/promises');
  const stat = await fs.stat(folder).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code !== 'ENOENT' && cause.code !== 'ENOTDIR') throw unreadable(folder, cause);
  });
  if (!stat) {
    if (hub && hubId.test(folder)) return openHub(folder, hub);
    throw new WeightsError(
      `${folder}: got no such folder, expected one with a model's files. Check the path${hub ? '; a model of the Hub is written org/name, such as suno/bark-small' : ''}.`,
    );
  }
  refuseRevision(folder, hub ?? {});
  if (!stat.isDirectory()) throw await notFolder(folder, stat.isFile());
  const label = folder.replace(/(?<=.)[/\\]+$/, '');
  const full = (path: string) => [label === '/' ? '' : label, ...pathParts(label, path)].join('/');
  const regular = async (path: string) => {
    // A named pipe would hold open() for ever, so the kind is asked for first.
    const found = await fs.stat(full(path)).catch((cause: NodeJS.ErrnoException) => {
      if (cause.code !== 'ENOENT' && cause.code !== 'ENOTDIR') throw unreadable(full(path), cause);
    });
    return found?.isFile() === true;
  };
  return {
    label,
    has: regular,
    async open(path) {
      const name = full(path);
      if (!(await regular(path))) throw missingFile(label, path);
      return openFile(name);
    },
    names: () => namesBelow(label),
    near: (path) => openFolder(`${label}/${path}`).catch(() => undefined),
  };
}

/** What to say of a file where a folder was expected. */
async function notFolder(path: string, regular: boolean): Promise<WeightsError> {
  const file = regular ? await openFile(path) : undefined;
  const kind = file && (await kindOf(file).finally(() => file.close()));
  // These are a model's own, or say no more than that they are files.
  const own = kind === undefined || ['empty', 'safetensors', 'json', 'npy', 'audio'].includes(kind);
  if (own || (kind === 'zip' && !/\.zip$/i.test(path)))
    return new WeightsError(`${path}: got a file, expected the folder it lies in. Pass that folder.`);
  return new WeightsError(`${path}: got ${foreignFile(kind, "the folder of a model's files")}`);
}

/** Files by their paths in the folder, at most MOST_NAMES of them and three folders deep. */
async function namesBelow(folder: string): Promise<string[]> {
  const { readdir } = await import('node:fs/promises');
  const names: string[] = [];
  const list = async (path: string, depth: number) => {
    const entries = await readdir(`${folder}/${path}`, { withFileTypes: true }).catch(() => []);
    for (const entry of entries) {
      if (names.length >= MOST_NAMES) return;
      if (entry.isDirectory() && depth > 0) await list(`${path}${entry.name}/`, depth - 1);
      else if (entry.isFile() || entry.isSymbolicLink()) names.push(path + entry.name);
    }
  };
  await list('', 2);
  return names;
}

// A folder behind a URL.

function parseUrl(text: string, base?: string): URL {
  try {
    return new URL(text, base);
  } catch (cause) {
    throw new InputError(`Model: got ${JSON.stringify(text)}, expected a URL of a folder.`, { cause });
  }
}

async function openUrl(url: URL, hub: HubOptions): Promise<ModelSource> {
  refuseRevision(url.href, hub);
  if (url.protocol === 'file:' && host !== 'browser') return openFolder((await import('node:url')).fileURLToPath(url));
  if (!/^https?:$/.test(url.protocol)) {
    throw new UnsupportedError(`${url.href}: got ${url.protocol}, expected http:, https: or (in Node and Deno) file:.`);
  }
  const label = url.origin + url.pathname.replace(/\/+$/, '');
  const fileUrl = (path: string) => `${label}/${pathParts(label, path).map(encodeURIComponent).join('/')}${url.search}`;
  return {
    label,
    has: async (path, { signal } = {}) => hasHttpFile(fileUrl(path), `${label}/${path}`, { signal }),
    async open(path, { signal } = {}) {
      const file = await openHttpFile(fileUrl(path), `${label}/${path}`, { signal });
      if (!file) throw missingFile(label, path);
      return checkedRanges(file);
    },
  };
}

// Blobs by name.

function blobsByPath(files: ArrayLike<File>): Map<string, Blob> {
  // A folder picker names files `folder/config.json`; the folder itself is not part of the model's
  // paths.
  return new Map(
    Array.from(files, (file) => [
      file?.webkitRelativePath ? file.webkitRelativePath.replace(/^[^/]*\//, '') : (file?.name ?? 'a file'),
      file,
    ]),
  );
}

function blobSource(blobs: ReadonlyMap<string, Blob>): ModelSource {
  const label = 'files';
  for (const [path, blob] of blobs)
    if (typeof path !== 'string' || !(blob instanceof Blob))
      throw new InputError(
        `Model: got ${shown(blob, 'setting')} for ${shown(path, 'setting')}, expected a Blob or File for each path.`,
      );
  const find = (path: string) => blobs.get(pathParts(label, path).join('/'));
  return {
    label,
    has: async (path) => find(path) !== undefined,
    async open(path) {
      const blob = find(path);
      if (!blob) throw missingFile(label, path);
      return blobBytes(blob, `${label}/${path}`);
    },
    names: async () => [...blobs.keys()],
  };
}
