// The errors that reach users. Each message says what was got, what was expected and what to do;
// `code` is stable.

/**
 * Messages quote what files and servers say, so what could drive a terminal is written out as
 * \u001b and the like.
 */
class PrintableError extends Error {
  constructor(message = '', options?: ErrorOptions) {
    super(
      message.replace(
        /[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/g,
        (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
      ),
      options,
    );
  }
}

/** A tensor or argument has another shape than the operation needs. */
export class ShapeError extends PrintableError {
  override readonly name = 'ShapeError';
  readonly code = 'ERR_SHAPE';
}

/** The adapter, the checkpoint or the host cannot do what was asked. */
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
