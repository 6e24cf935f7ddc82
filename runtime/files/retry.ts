// Retries of requests: which failures are temporary, and how long to wait before the next try.
// Bytes received in between are progress, and progress resets the failure count.
// Knows no Hub and no files.
// Reference: RFC 9110, section 10.2.3 (Retry-After).

import { DownloadError } from '../base/errors.ts';
import { sleep } from '../base/abort.ts';

/**
 * Milliseconds, except `tries`: how many in a row may bring nothing. Who is asked to wait longer
 * than the longest gives up. An object, so that tests need not wait.
 */
export const timing = { tries: 5, firstDelay: 400, longestDelay: 10_000, longestRetryAfter: 60_000 };

/**
 * A failure that may pass by itself; `after` is how long the server asked to wait, in milliseconds.
 */
export class PassingFailure extends DownloadError {
  readonly after: number | undefined;

  constructor(message: string, { after, ...options }: ErrorOptions & { after?: number | undefined } = {}) {
    super(message, options);
    this.after = after;
  }
}

/**
 * Statuses after which the same request may succeed: timeout, too early, too many, and the server's
 * own troubles.
 */
export function isPassingStatus(status: number): boolean {
  return status === 408 || status === 425 || status === 429 || status >= 500;
}

/** Retry-After in milliseconds, whether it holds seconds or a date. */
export function retryAfter(response: Response): number | undefined {
  const header = response.headers.get('retry-after')?.trim();
  if (!header) return undefined;
  const wait = /^\d+$/.test(header) ? Number(header) * 1000 : Date.parse(header) - Date.now();
  return Number.isFinite(wait) ? Math.max(wait, 0) : undefined;
}

/**
 * How long to wait after failure number `failures` in a row (from 1): what the server asked for,
 * else twice as long each time, with jitter.
 */
function delayBefore(failures: number, failure: PassingFailure): number {
  if (failure.after !== undefined) return failure.after;
  const delay = Math.min(timing.firstDelay * 2 ** (failures - 1), timing.longestDelay);
  return delay * (0.75 + Math.random() / 2);
}

export interface RetryOptions {
  signal?: AbortSignal | undefined;
  /** Default `timing.tries`. */
  tries?: number | undefined;
  /** Asked after each failure; true ends the trying early, with that failure. */
  stop?: () => Promise<boolean>;
  /** Bytes so far: who gets further is not counted as failing in a row. */
  progress?: () => number;
}

/**
 * Runs until it works; only a `PassingFailure` is tried again. Rejects with the signal's reason
 * once that aborts.
 */
export async function withRetries<T>(
  run: () => Promise<T>,
  { signal, tries = timing.tries, stop, progress = () => 0 }: RetryOptions = {},
): Promise<T> {
  let furthest = progress();
  for (let failures = 0; ;) {
    try {
      signal?.throwIfAborted();
      return await run();
    } catch (failure) {
      signal?.throwIfAborted();
      failures = progress() > furthest ? 1 : failures + 1;
      furthest = Math.max(furthest, progress());
      if (!(failure instanceof PassingFailure) || failures >= tries || (await stop?.())) throw failure;
      await sleep(delayBefore(failures, failure), signal);
    }
  }
}
