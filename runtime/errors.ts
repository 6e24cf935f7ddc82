// The errors that reach users. Each message says what was got, what was expected and what to do; `code` is stable.

/** A tensor or argument has another shape than the operation needs. */
export class ShapeError extends Error {
  override readonly name = 'ShapeError';
  readonly code = 'ERR_SHAPE';
}

/** The adapter, the checkpoint or the host cannot do what was asked. */
export class UnsupportedError extends Error {
  override readonly name = 'UnsupportedError';
  readonly code = 'ERR_UNSUPPORTED';
}

/** A checkpoint, configuration or voice file is missing, damaged or contradicts itself. */
export class WeightsError extends Error {
  override readonly name = 'WeightsError';
  readonly code = 'ERR_WEIGHTS';
}

/** An argument of the caller is outside what is allowed. */
export class InputError extends Error {
  override readonly name = 'InputError';
  readonly code = 'ERR_INPUT';
}

/** A file could not be fetched. */
export class DownloadError extends Error {
  override readonly name = 'DownloadError';
  readonly code = 'ERR_DOWNLOAD';
}
