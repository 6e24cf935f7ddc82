// Waiting that an AbortSignal can end: a pause, another promise, and a watch that gives up after a
// time without news.

/** Waits; rejects with the signal's reason as soon as it aborts. */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const stop = () => {
      clearTimeout(timer);
      reject(signal!.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', stop);
      resolve();
    }, ms);
    signal?.addEventListener('abort', stop, { once: true });
  });
}

/** Waits for work that others wait for too: the signal ends the waiting, not the work. */
export async function orAborted<T>(work: Promise<T>, signal?: AbortSignal): Promise<T> {
  signal?.throwIfAborted();
  let stop: (() => void) | undefined;
  const aborted = new Promise<never>((_, reject) => {
    stop = () => reject(signal!.reason);
    signal?.addEventListener('abort', stop, { once: true });
  });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal?.removeEventListener('abort', stop!);
  }
}

/**
 * A signal that aborts with `signal`, or when no one has called `touch` for `ms`. Call `end` when
 * done.
 */
export interface Watch {
  readonly signal: AbortSignal;
  readonly expired: boolean;
  touch(): void;
  pause(): void;
  /** Ends the watching; nothing aborts by itself any more. */
  end(): void;
  /** Drops a connection whose answer is not read to its end. */
  abort(): void;
}

export function watch(ms: number, signal?: AbortSignal): Watch {
  const controller = new AbortController();
  const pass = () => controller.abort(signal!.reason);
  if (signal?.aborted) pass();
  signal?.addEventListener('abort', pass, { once: true });
  let timer: ReturnType<typeof setTimeout> | undefined;
  let expired = false;
  const pause = () => clearTimeout(timer);
  const expire = () => {
    expired = true;
    controller.abort(new DOMException(`nothing came for ${ms / 1000} s`, 'TimeoutError'));
  };
  const touch = () => {
    pause();
    timer = setTimeout(expire, ms);
  };
  touch();
  return {
    signal: controller.signal,
    get expired() {
      return expired;
    },
    touch,
    pause,
    end() {
      pause();
      signal?.removeEventListener('abort', pass);
    },
    abort: () => controller.abort(),
  };
}
