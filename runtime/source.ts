// Places a model lies in: a folder on disk (Node, Deno), a folder behind http(s) with byte ranges, or Blobs by name; the Hub is hub.ts's.
// Reads ranges and nothing more: no cache, no retries, no download to disk.

import type { ByteSource, ModelSource } from './checkpoint.ts';
import { InputError, UnsupportedError, WeightsError } from './errors.ts';
import { hasHttpFile, openHttpFile } from './http_file.ts';
import { hubId, openHub } from './hub.ts';
import type { HubOptions } from './hub.ts';
import { host } from './platform.ts';

/** What `fromPretrained` accepts; a `Map` holds the folder's paths, a file list is what a browser's folder picker gives. */
export type ModelSourceLike = string | URL | ModelSource | ReadonlyMap<string, Blob> | ArrayLike<File>;

const READ_AT_ONCE = 2 ** 30; // Node's read() takes at most 2^31 - 1 bytes

/**
 * Opens the place a model lies in; costs at most one look at the folder.
 * Throws `WeightsError` for a folder that is not there, `InputError` for what is none of these.
 */
export async function openModelSource(source: ModelSourceLike, hub: HubOptions = {}): Promise<ModelSource> {
  if (source instanceof URL) return openUrl(source);
  if (typeof source === 'string') {
    if (/^(https?|file):/i.test(source)) return openUrl(parseUrl(source));
    if (source.trim() === '') throw new InputError('Model: got an empty string, expected a folder or a URL. Pass the path of a model folder.');
    if (host !== 'browser') return openFolder(source, hub);
    if (/^\.{0,2}\//.test(source)) return openUrl(parseUrl(source, globalThis.location?.href));
    if (hubId.test(source)) return openHub(source, hub);
    throw new InputError(`Model: got ${JSON.stringify(source)}, expected a URL. In a browser a served folder starts with https:, / or ./.`);
  }
  if (source && 'open' in source && typeof source.open === 'function') return source;
  if (source instanceof Map) return blobSource(source);
  if (source && typeof (source as ArrayLike<File>).length === 'number') return blobSource(blobsByPath(source as ArrayLike<File>));
  throw new InputError('Model: got no folder, URL, Map of Blobs or list of files. Pass the path of a model folder.');
}

/**
 * The parts of a path inside the folder. Refuses, before any file is touched, whatever could leave it: '..', absolute and
 * drive paths, backslashes. Symbolic links are the owner's own doing and are followed (the Hub's cache is made of them).
 */
export function pathParts(label: string, path: string): string[] {
  const parts = path.split('/').filter((part) => part !== '' && part !== '.');
  if (parts.length === 0 || path.startsWith('/') || parts.includes('..') || /[\\\0]|^[a-z]:/i.test(path)) {
    throw new WeightsError(`${label}: got the path ${JSON.stringify(path)}, expected one inside the folder. Do not use this model before you know who made it.`);
  }
  return parts;
}

/** Refuses, before anything is allocated or asked for, ranges that the file does not have. */
export function checkedRanges(file: ByteSource): ByteSource {
  const { label, size } = file;
  return {
    label,
    size,
    async read(start, end) {
      if (!(Number.isSafeInteger(start) && Number.isSafeInteger(end) && 0 <= start && start <= end)) {
        throw new WeightsError(`${label}: got the byte range [${start}, ${end}), expected whole numbers in order.`);
      }
      if (end > size) throw tooShort(label, size, end);
      return start === end ? new Uint8Array(0) : file.read(start, end);
    },
    close: () => file.close(),
  };
}

function tooShort(label: string, size: number, end: number): WeightsError {
  return new WeightsError(`${label}: got a file of ${size} bytes, expected at least ${end}. Fetch the file again.`);
}

export function missingFile(label: string, path: string, cause?: unknown): WeightsError {
  return new WeightsError(`${label}: got no file ${JSON.stringify(path)}, expected one. Is the folder complete?`, { cause });
}

// A folder on disk.

async function openFolder(folder: string, hub?: HubOptions): Promise<ModelSource> {
  const fs = await import('node:fs/promises');
  const stat = await fs.stat(folder).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code !== 'ENOENT' && cause.code !== 'ENOTDIR') throw unreadable(folder, cause);
  });
  if (!stat) {
    if (hub && hubId.test(folder)) return openHub(folder, hub);
    throw new WeightsError(`${folder}: got no such folder, expected one with config.json and model.safetensors. Check the path.`);
  }
  if (!stat.isDirectory()) throw new WeightsError(`${folder}: got a file, expected the folder it lies in. Pass that folder.`);
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
  };
}

export async function openFile(name: string): Promise<ByteSource> {
  const fs = await import('node:fs/promises');
  const failed = (cause: unknown) => {
    throw unreadable(name, cause);
  };
  const handle = await fs.open(name, 'r').catch(failed);
  const { size } = await handle.stat().catch(failed);
  let open = true;
  return checkedRanges({
    label: name,
    size,
    async read(start, end) {
      const bytes = new Uint8Array(end - start);
      for (let done = 0; done < bytes.length; ) {
        const length = Math.min(bytes.length - done, READ_AT_ONCE);
        const { bytesRead } = await handle.read(bytes, done, length, start + done).catch(failed);
        if (bytesRead === 0) throw tooShort(name, start + done, end); // someone cut the file after it was opened
        done += bytesRead;
      }
      return bytes;
    },
    async close() {
      if (open) await handle.close();
      open = false;
    },
  });
}

function unreadable(name: string, cause: unknown): WeightsError {
  const reason = (cause as NodeJS.ErrnoException)?.code ?? String(cause);
  return new WeightsError(`${name}: got ${reason}, expected to read it. Check its permissions.`, { cause });
}

// A folder behind a URL.

function parseUrl(text: string, base?: string): URL {
  try {
    return new URL(text, base);
  } catch (cause) {
    throw new InputError(`Model: got ${JSON.stringify(text)}, expected a URL of a folder.`, { cause });
  }
}

async function openUrl(url: URL): Promise<ModelSource> {
  if (url.protocol === 'file:' && host !== 'browser') return openFolder((await import('node:url')).fileURLToPath(url));
  if (!/^https?:$/.test(url.protocol)) {
    throw new UnsupportedError(`${url.href}: got ${url.protocol}, expected http:, https: or (in Node and Deno) file:.`);
  }
  const label = url.origin + url.pathname.replace(/\/+$/, '');
  const fileUrl = (path: string) => `${label}/${pathParts(label, path).map(encodeURIComponent).join('/')}${url.search}`;
  return {
    label,
    has: async (path) => hasHttpFile(fileUrl(path), `${label}/${path}`),
    async open(path) {
      const file = await openHttpFile(fileUrl(path), `${label}/${path}`);
      if (!file) throw missingFile(label, path);
      return checkedRanges(file);
    },
  };
}

// Blobs by name.

function blobsByPath(files: ArrayLike<File>): Map<string, Blob> {
  // A folder picker names files `folder/config.json`; the folder itself is not part of the model's paths.
  return new Map(Array.from(files, (file) => [file.webkitRelativePath ? file.webkitRelativePath.replace(/^[^/]*\//, '') : file.name, file]));
}

function blobSource(blobs: ReadonlyMap<string, Blob>): ModelSource {
  const label = 'files';
  const find = (path: string) => blobs.get(pathParts(label, path).join('/'));
  return {
    label,
    has: async (path) => find(path) !== undefined,
    async open(path) {
      const blob = find(path);
      if (!blob) throw missingFile(label, path);
      return blobBytes(blob, `${label}/${path}`);
    },
  };
}

/** A Blob or File as a byte source; nothing is read before it is asked for. */
export function blobBytes(blob: Blob, label: string): ByteSource {
  return checkedRanges({
    label,
    size: blob.size,
    async read(start, end) {
      const bytes = await blob.slice(start, end).arrayBuffer().catch((cause: unknown) => {
        throw unreadable(label, cause);
      });
      if (bytes.byteLength !== end - start) throw tooShort(label, start + bytes.byteLength, end);
      return new Uint8Array(bytes);
    },
    async close() {},
  });
}
