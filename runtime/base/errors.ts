// The errors that reach users. Each message says what was got, what was expected and what to do;
// `code` never changes, so programs can test for it.

import { printable } from './printable.ts';

/** Messages quote text from files and servers, so control characters are escaped. */
class PrintableError extends Error {
  constructor(message = '', options?: ErrorOptions) {
    super(printable(message), options);
  }
}

/** A tensor or argument has another shape than the operation needs. */
export class ShapeError extends PrintableError {
  override readonly name = 'ShapeError';
  readonly code = 'ERR_SHAPE';
}

/** The adapter, the checkpoint or the host lacks something that is needed. */
export class UnsupportedError extends PrintableError {
  override readonly name = 'UnsupportedError';
  readonly code = 'ERR_UNSUPPORTED';
}

/** A checkpoint, configuration or voice file is missing, damaged or contradicts itself. */
export class WeightsError extends PrintableError {
  override readonly name = 'WeightsError';
  readonly code = 'ERR_WEIGHTS';
}

/** An argument of the caller is outside what is allowed. */
export class InputError extends PrintableError {
  override readonly name = 'InputError';
  readonly code = 'ERR_INPUT';
}

/**
 * As the default of a constructor's first parameter: throws the `InputError` for a class that
 * JavaScript made with `new` and nothing else, although a method of its own makes it.
 */
export function madeBy(name: string, method: string): never {
  throw new InputError(
    `new ${name}(): got nothing to make it of, expected a call of ${method}. Write await ${method}.`,
  );
}

/**
 * Why a file could not be fetched: no answer or a broken one; no such repository or revision; terms
 * not accepted; a token refused; not in the cache while offline; no room or no right to write;
 * other bytes than were promised.
 */
export type DownloadReason = 'network' | 'repository' | 'revision' | 'gated' | 'token' | 'offline' | 'disk' | 'damaged';

/**
 * A file could not be fetched; `reason` says why, for programs that ask for a token or go offline.
 */
export class DownloadError extends PrintableError {
  override readonly name = 'DownloadError';
  readonly code = 'ERR_DOWNLOAD';
  readonly reason: DownloadReason;

  constructor(
    message: string,
    { reason = 'network', ...options }: ErrorOptions & { reason?: DownloadReason | undefined } = {},
  ) {
    super(message, options);
    this.reason = reason;
  }
}
