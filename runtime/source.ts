// Places a model lies in: a folder on disk (Node, Deno), a folder behind http(s) with byte ranges, or Blobs by name.
// Reads ranges and nothing more: no cache, no retries, no download to disk; the Hub is a later feature, `openHub` its seam.

import type { ByteSource, ModelSource } from './checkpoint.ts';
import { InputError, UnsupportedError, WeightsError } from './errors.ts';
import { hasHttpFile, openHttpFile } from './http_file.ts';
import { host } from './platform.ts';

/** What `fromPretrained` accepts; a `Map` holds the folder's paths, a file list is what a browser's folder picker gives. */
export type ModelSourceLike = string | URL | ModelSource | ReadonlyMap<string, Blob> | ArrayLike<File>;

const MEBIBYTE = 2 ** 20;
const READ_AT_ONCE = 2 ** 30; // Node's read() takes at most 2^31 - 1 bytes

/**
 * Opens the place a model lies in; costs at most one look at the folder.
 * Throws `WeightsError` for a folder that is not there, `UnsupportedError` for a Hub id, `InputError` for anything else.
 */
export async function openModelSource(source: ModelSourceLike): Promise<ModelSource> {
  if (source instanceof URL) return openUrl(source);
  if (typeof source === 'string') {
    if (/^(https?|file):/i.test(source)) return openUrl(parseUrl(source));
    if (source.trim() === '') throw new InputError('Model: got an empty string, expected a folder or a URL. Pass the path of a model folder.');
    if (host !== 'browser') return openFolder(source);
    if (/^\.{0,2}\//.test(source)) return openUrl(parseUrl(source, globalThis.location?.href));
    if (hubId.test(source)) return openHub(source);
    throw new InputError(`Model: got ${JSON.stringify(source)}, expected a URL. In a browser a served folder starts with https:, / or ./.`);
  }
  if (source && 'open' in source && typeof source.open === 'function') return source;
  if (source instanceof Map) return blobSource(source);
  if (source && typeof (source as ArrayLike<File>).length === 'number') return blobSource(blobsByPath(source as ArrayLike<File>));
  throw new InputError('Model: got no folder, URL, Map of Blobs or list of files. Pass the path of a model folder.');
}

/** Reads a whole file of at most `limit` bytes. */
export async function readBytes(source: ModelSource, path: string, limit = 64 * MEBIBYTE): Promise<Uint8Array<ArrayBuffer>> {
  const file = await source.open(path);
  try {
    if (file.size > limit) throw new WeightsError(`${file.label}: got ${file.size} bytes, expected at most ${limit}. Is this the right file?`);
    return await file.read(0, file.size);
  } finally {
    await file.close();
  }
}

/** Reads a UTF-8 file of at most `limit` bytes; a byte order mark is dropped. */
export async function readText(source: ModelSource, path: string, limit?: number): Promise<string> {
  const bytes = await readBytes(source, path, limit);
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new WeightsError(`${source.label}/${path}: got bytes that are not UTF-8, expected text. Fetch the file again.`, { cause });
  }
}

/** Reads a JSON file of at most `limit` bytes; the caller checks what it holds. */
export async function readJson(source: ModelSource, path: string, limit?: number): Promise<unknown> {
  const text = await readText(source, path, limit);
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new WeightsError(`${source.label}/${path}: got text that is not JSON at ${jsonPosition(text)}, expected JSON. Fetch the file again.`, { cause });
  }
}

const jsonBlank = /[ \t\r\n]*/y;
const jsonAtom = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null|[{}[\],:"]/y;
const jsonPlain = /[^"\\\u0000-\u001f]*/y;
const jsonEscape = /\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})/y;

function skip(pattern: RegExp, text: string, at: number): number {
  pattern.lastIndex = at;
  return pattern.test(text) ? pattern.lastIndex : at;
}

/** Where the token that begins at `at` ends; `at` itself when none does. */
function jsonTokenEnd(text: string, at: number): number {
  let end = skip(jsonAtom, text, at);
  if (text[at] !== '"') return end;
  for (let run = -1; run !== end; ) {
    run = end;
    end = skip(jsonEscape, text, skip(jsonPlain, text, end));
  }
  return text[end] === '"' ? end + 1 : at;
}

/** Line and column of the first thing in `text` that is not JSON. JSON.parse's own words differ by host and often lack them. */
function jsonPosition(text: string): string {
  // What may come next, by one letter each: v value, k key, : , and the two closing brackets; '' after the whole value.
  const closers: string[] = [];
  let wanted = 'v';
  let at = skip(jsonBlank, text, 0);
  for (let end: number; (end = jsonTokenEnd(text, at)) > at; at = skip(jsonBlank, text, end)) {
    const first = text[at]!;
    const kind = '{}[],:'.includes(first) ? first : 'v';
    const isKey = wanted.includes('k') && first === '"';
    if (!isKey && !wanted.includes(kind === '{' || kind === '[' ? 'v' : kind)) break;
    if (isKey) wanted = ':';
    else if (kind === ':') wanted = 'v';
    else if (kind === ',') wanted = closers.at(-1) === '}' ? 'k' : 'v';
    else if (kind === '{' || kind === '[') {
      closers.push(kind === '{' ? '}' : ']');
      wanted = kind === '{' ? 'k}' : 'v]';
    } else {
      if (kind !== 'v') closers.pop();
      wanted = closers.length > 0 ? `,${closers.at(-1)}` : '';
    }
  }
  const lines = text.slice(0, at).split('\n');
  return `line ${lines.length}, column ${lines.at(-1)!.length + 1}${at === text.length ? ', where the file ends' : ''}`;
}

/**
 * The parts of a path inside the folder. Refuses, before any file is touched, whatever could leave it: '..', absolute and
 * drive paths, backslashes. Symbolic links are the owner's own doing and are followed (the Hub's cache is made of them).
 */
function pathParts(label: string, path: string): string[] {
  const parts = path.split('/').filter((part) => part !== '' && part !== '.');
  if (parts.length === 0 || path.startsWith('/') || parts.includes('..') || /[\\\0]|^[a-z]:/i.test(path)) {
    throw new WeightsError(`${label}: got the path ${JSON.stringify(path)}, expected one inside the folder. Do not use this model before you know who made it.`);
  }
  return parts;
}

/** Refuses, before anything is allocated or asked for, ranges that the file does not have. */
function checkedRanges(file: ByteSource): ByteSource {
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

function missingFile(label: string, path: string, cause?: unknown): WeightsError {
  return new WeightsError(`${label}: got no file ${JSON.stringify(path)}, expected one. Is the folder complete?`, { cause });
}

// A folder on disk.

const hubId = /^[\w][\w.-]*\/[\w][\w.-]*$/;

async function openFolder(folder: string): Promise<ModelSource> {
  const fs = await import('node:fs/promises');
  const stat = await fs.stat(folder).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code !== 'ENOENT' && cause.code !== 'ENOTDIR') throw unreadable(folder, cause);
  });
  if (!stat) {
    if (hubId.test(folder)) return openHub(folder);
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

async function openFile(name: string): Promise<ByteSource> {
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

/** The seam for the Hub: a source over `org/name` will be made here. Today it only says what to do instead. */
function openHub(id: string): never {
  throw new UnsupportedError(
    `${id}: got what looks like a Hub id (there is no such folder here), expected a folder: the Hub is not read yet. ` +
      `Download it (hf download ${id} --local-dir ${id.split('/')[1]}) and pass the folder's path.`,
  );
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
