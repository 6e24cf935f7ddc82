// Whole small files of a model's folder: bytes, text, JSON. Bounded, so that a wrong file costs no
// memory. Weights are not read here.
import { DownloadError, WeightsError } from '../base/errors.ts';
import { fileKind, foreignFile } from './file_kind.ts';
import { jsonPosition } from '../base/json_position.ts';
import type { ModelSource, OpenOptions } from './model_source.ts';

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
  const kind = fileKind(bytes);
  if (kind && kind !== 'json' && kind !== 'empty')
    throw new WeightsError(
      `${source.label}/${path}: got ${foreignFile(kind, path.endsWith('.json') ? 'JSON' : 'text')}`,
    );
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
