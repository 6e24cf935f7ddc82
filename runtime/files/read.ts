// Whole small files of a model's folder: bytes, text, JSON. Bounded, so that a wrong file costs no
// memory. Weights are not read here.

import type { ModelSource, OpenOptions } from '../formats/checkpoint.ts';
import { DownloadError, WeightsError } from '../base/errors.ts';

export interface ReadOptions extends OpenOptions {
  /** The most bytes that the file may have; default 64 MiB. */
  limit?: number | undefined;
}

const LIMIT = 64 * 2 ** 20;

/** Reads a whole file of at most `limit` bytes. */
export async function readBytes(
  source: ModelSource,
  path: string,
  { limit = LIMIT, ...options }: ReadOptions = {},
): Promise<Uint8Array<ArrayBuffer>> {
  const file = await source.open(path, options);
  try {
    if (file.size > limit)
      throw new WeightsError(
        `${file.label}: got ${file.size} bytes, expected at most ${limit}. Is this the right file?`,
      );
    return await file.read(0, file.size);
  } finally {
    await file.close();
  }
}

/** Reads a UTF-8 file of at most `limit` bytes; a byte order mark is dropped. */
export async function readText(source: ModelSource, path: string, options?: ReadOptions): Promise<string> {
  const bytes = await readBytes(source, path, options);
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new WeightsError(
      `${source.label}/${path}: got bytes that are not UTF-8, expected text. Fetch the file again.`,
      { cause },
    );
  }
}

/** Reads a JSON file of at most `limit` bytes; the caller checks what it holds. */
export async function readJson(source: ModelSource, path: string, options?: ReadOptions): Promise<unknown> {
  const text = await readText(source, path, options);
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new WeightsError(
      `${source.label}/${path}: got text that is not JSON at ${jsonPosition(text)}, expected JSON. Fetch the file again.`,
      { cause },
    );
  }
}

/**
 * What to throw where `path`, or any file instead of it, is nowhere: the source's own reason where
 * it could not look, as a cache without a network has no file that it did not fetch; else
 * `otherwise`.
 */
export async function whyMissing(
  source: ModelSource,
  path: string,
  otherwise: WeightsError,
  options?: OpenOptions,
): Promise<Error> {
  const why: unknown = await source.open(path, options).then(
    (file) => file.close(),
    (error: unknown) => error,
  );
  options?.signal?.throwIfAborted();
  return why instanceof DownloadError ? why : otherwise;
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
  for (let run = -1; run !== end;) {
    run = end;
    end = skip(jsonEscape, text, skip(jsonPlain, text, end));
  }
  return text[end] === '"' ? end + 1 : at;
}

/**
 * Line and column of the first thing in `text` that is not JSON. JSON.parse's own words differ by
 * host and often lack them.
 */
function jsonPosition(text: string): string {
  // What may come next, by one letter each: v value, k key, : , and the two closing brackets; ''
  // after the whole value.
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
