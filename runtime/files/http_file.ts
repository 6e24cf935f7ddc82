// A file behind http(s) as a run of bytes, by Range requests. One request of 64 KiB opens it, and
// is all that a small file or most safetensors headers need. No cache; retries and headers only
// where the caller asks for them, as the Hub in a browser does. Reference: RFC 9110, section 14
// (range requests).
import { DownloadError } from '../base/errors.ts';
import { isPassingStatus, PassingFailure, retryAfter, timing, withRetries } from './retry.ts';
import { watch } from '../base/abort.ts';
import type { ByteSource } from './model_source.ts';

/** What the first request brings. */
export const PREFIX = 2 ** 16;
const WHOLE_FILE_LIMIT = 2 ** 25; // what is taken whole from a server that knows no ranges

export interface HttpOptions {
  signal?: AbortSignal | undefined;
  /** Sent with every request; a redirect to another origin takes Authorization off. */
  headers?: Record<string, string> | undefined;
  /** How many in a row may fail in a way that passes by itself. Default 1: no retries. */
  tries?: number | undefined;
  /**
   * Milliseconds without a byte that count as a broken connection. Default: as long as the host's
   * fetch waits.
   */
  idle?: number | undefined;
  /** Sees every answer; may throw what it means, instead of a message of status and address. */
  onAnswer?: ((response: Response) => void) | undefined;
}

/** As a `ByteSource`; `signal` ends one read, by default what ended the opening. */
export interface HttpFile extends ByteSource {
  read(start: number, end: number, signal?: AbortSignal): Promise<Uint8Array<ArrayBuffer>>;
}

/** Whether the server has the file; costs one request and no bytes. */
export async function hasHttpFile(url: string, label: string, options: HttpOptions = {}): Promise<boolean> {
  return withRetries(async () => {
    const response = await fetchRange(url, label, 0, 1, options);
    await response.body?.cancel();
    if (isMissing(response, url)) return false;
    if (response.ok || response.status === 416) return true; // 416: it is there and empty
    throw badAnswer(response, label);
  }, once(options));
}

/**
 * Opens the file, or gives undefined where the server has none. `PREFIX` bytes come with the first
 * request.
 * The caller keeps ranges inside [0, size). Throws `DownloadError` for any other answer than the
 * bytes asked for.
 */
export async function openHttpFile(
  url: string,
  label: string,
  options: HttpOptions = {},
): Promise<HttpFile | undefined> {
  const opened = await withRetries(
    () => watched(label, options, (signal, touch) => fetchPrefix(url, label, { ...options, signal }, touch)),
    once(options),
  );
  if (!opened) return undefined;
  const { size, prefix, tag } = opened;

  /** Fills `bytes` from `done` on with the file from `start` on; `progress` after each piece. */
  async function fetchRest(
    bytes: Uint8Array<ArrayBuffer>,
    start: number,
    done: number,
    progress: (done: number) => void,
    signal?: AbortSignal,
  ): Promise<void> {
    const end = start + bytes.length;
    const part = await fetchRange(url, label, start + done, end, { ...options, signal });
    const got = contentRange(part);
    if (part.status !== 206 || !got || got.start !== start + done || got.end !== end || got.size !== size) {
      await part.body?.cancel();
      throw badAnswer(part, label);
    }
    const tagNow = part.headers.get('etag');
    if (tag && tagNow && tag !== tagNow) {
      await part.body?.cancel();
      throw new DownloadError(
        `${label}: got another version than at the start, expected ${tag}. Load the model again.`,
      );
    }
    await rangeBody(part, label, bytes.subarray(done), (length) => progress(done + length), signal);
  }

  return {
    label,
    size,
    async read(start, end, signal = options.signal) {
      if (end <= prefix.length) return prefix.slice(start, end);
      const bytes = new Uint8Array(end - start);
      let done = 0;
      const rest = async (inner: AbortSignal | undefined, touch: () => void) => {
        if (done === bytes.length) return; // it broke after the last byte
        const progress = (length: number) => {
          done = length;
          touch();
        };
        await fetchRest(bytes, start, done, progress, inner);
      };
      await withRetries(() => watched(label, { ...options, signal }, rest), {
        ...once(options),
        signal,
        progress: () => done,
      });
      return bytes;
    },
    async close() {},
  };
}

const once = ({ signal, tries = 1 }: HttpOptions) => ({ signal, tries });

/** Ends the work when `touch` was not called for so long; that may pass by itself. */
async function watched<T>(
  label: string,
  { idle, signal }: HttpOptions,
  run: (signal: AbortSignal | undefined, touch: () => void) => Promise<T>,
): Promise<T> {
  if (idle === undefined) return run(signal, () => {});
  const clock = watch(idle, signal);
  try {
    return await run(clock.signal, clock.touch);
  } catch (cause) {
    signal?.throwIfAborted();
    if (!clock.expired) throw cause;
    throw new PassingFailure(
      `${label}: got nothing for ${idle / 1000} s, expected the file. Check the network and load again.`,
      { cause },
    );
  } finally {
    clock.end();
  }
}

interface Opened {
  size: number;
  prefix: Uint8Array<ArrayBuffer>;
  tag: string | null;
}

async function fetchPrefix(
  url: string,
  label: string,
  options: HttpOptions,
  touch: () => void,
): Promise<Opened | undefined> {
  const response = await fetchRange(url, label, 0, PREFIX, options);
  if (isMissing(response, url)) {
    await response.body?.cancel();
    return undefined;
  }
  const tag = response.headers.get('etag');
  const range = contentRange(response);
  if (response.status === 206 && range?.start === 0 && range.end <= PREFIX) {
    const prefix = new Uint8Array(range.end);
    await rangeBody(response, label, prefix, touch, options.signal);
    return { size: range.size, prefix, tag };
  }
  if (response.status === 416 && range?.size === 0) {
    await response.body?.cancel();
    return { size: 0, prefix: new Uint8Array(0), tag };
  }
  if (response.status === 200 && !(Number(response.headers.get('content-length')) > WHOLE_FILE_LIMIT)) {
    const prefix = await wholeBody(response, label, options.signal);
    return { size: prefix.length, prefix, tag };
  }
  await response.body?.cancel();
  throw badAnswer(response, label);
}

async function fetchRange(
  url: string,
  label: string,
  start: number,
  end: number,
  { headers, signal, onAnswer }: HttpOptions,
): Promise<Response> {
  const response = await fetch(url, {
    headers: { ...headers, Range: `bytes=${start}-${end - 1}` },
    signal: signal ?? null,
  }).catch((cause: unknown) => {
    signal?.throwIfAborted();
    throw new PassingFailure(
      `${label}: got no answer (${(cause as Error).message}), expected the file. Check the address and the network.`,
      { cause },
    );
  });
  try {
    onAnswer?.(response);
  } catch (cause) {
    await response.body?.cancel();
    throw cause;
  }
  return response;
}

/** 404, or the page that a single-page application's server sends for whatever it lacks. */
function isMissing(response: Response, url: string): boolean {
  const page =
    /^text\/html\b/.test(response.headers.get('content-type') ?? '') && !/\.html?$/.test(new URL(url).pathname);
  return response.status === 404 || response.status === 410 || (response.ok && page);
}

/**
 * `bytes 0-65535/123456` → [start, end) of size; a page of another origin sees it only where the
 * server exposes it.
 */
export function contentRange(response: Response): { start: number; end: number; size: number } | undefined {
  const header = response.headers.get('content-range') ?? '';
  const empty = /^bytes \*\/(\d+)$/.exec(header);
  if (empty) return { start: 0, end: 0, size: Number(empty[1]) };
  const match = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(header);
  if (!match) return undefined;
  const [start, last, size] = match.slice(1).map(Number) as [number, number, number];
  return Number.isSafeInteger(size) && start <= last && last < size ? { start, end: last + 1, size } : undefined;
}

/** The body of a range, written straight into place: a range may be half a gigabyte. */
async function rangeBody(
  response: Response,
  label: string,
  into: Uint8Array,
  progress: (length: number) => void,
  signal?: AbortSignal,
): Promise<void> {
  const visit = (chunk: Uint8Array, at: number) => {
    into.set(chunk, at);
    progress(at + chunk.length);
  };
  const got = await eachChunk(response, label, into.length, visit, signal);
  if (got !== into.length)
    throw new PassingFailure(
      `${label}: got ${got} bytes of a range, expected ${into.length}. Check the network and load again.`,
    );
}

/** The body of a small file whose length nobody vouches for. */
async function wholeBody(response: Response, label: string, signal?: AbortSignal): Promise<Uint8Array<ArrayBuffer>> {
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  await eachChunk(response, label, WHOLE_FILE_LIMIT, (chunk) => chunks.push(chunk), signal);
  return new Uint8Array(await new Blob(chunks).arrayBuffer());
}

/**
 * Visits the body's chunks and gives their length; stops the connection where more than `limit`
 * bytes come.
 */
async function eachChunk(
  response: Response,
  label: string,
  limit: number,
  visit: (chunk: Uint8Array<ArrayBuffer>, at: number) => void,
  signal: AbortSignal | undefined,
): Promise<number> {
  const reader = response.body?.getReader();
  let length = 0;
  for (;;) {
    const next = await reader?.read().catch((cause: unknown) => {
      signal?.throwIfAborted();
      throw new PassingFailure(
        `${label}: got a connection that broke after ${length} bytes, expected the rest. Check the network and load again.`,
        { cause },
      );
    });
    if (!next || next.done) return length;
    if (length + next.value.length > limit) {
      await reader?.cancel();
      throw badAnswer(response, label);
    }
    visit(next.value, length);
    length += next.value.length;
  }
}

function badAnswer(response: Response, label: string): DownloadError {
  if (response.status === 200) {
    return new DownloadError(
      `${label}: got the whole file, expected the byte range that was asked for. Serve it with a server that knows Range requests.`,
    );
  }
  if (response.status === 206) {
    const header = response.headers.get('content-range') ?? 'none';
    return new DownloadError(
      `${label}: got Content-Range ${header}, expected the range that was asked for. Another origin must list it in Access-Control-Expose-Headers.`,
    );
  }
  const message = `${label}: got HTTP status ${response.status}, expected 206. Check the address.`;
  const after = retryAfter(response);
  return isPassingStatus(response.status) && (after ?? 0) <= timing.longestRetryAfter
    ? new PassingFailure(message, { after })
    : new DownloadError(message);
}
