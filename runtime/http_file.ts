// A file behind http(s) as a run of bytes, by Range requests. One request of 64 KiB opens it, and is all that a small file
// or most safetensors headers need. No cache, no retries, no tokens: those come with the Hub.
// Reference: RFC 9110, section 14 (range requests).

import type { ByteSource } from './checkpoint.ts';
import { DownloadError } from './errors.ts';

const PREFIX = 2 ** 16;
const WHOLE_FILE_LIMIT = 2 ** 25; // what is taken whole from a server that knows no ranges

/** Whether the server has the file; costs one request and no bytes. */
export async function hasHttpFile(url: string, label: string): Promise<boolean> {
  const response = await fetchRange(url, label, 0, 1);
  await response.body?.cancel();
  if (isMissing(response, url)) return false;
  if (response.ok || response.status === 416) return true; // 416: it is there and empty
  throw badAnswer(response, label);
}

/**
 * Opens the file, or gives undefined where the server has none. `prefix` bytes come with the first request.
 * The caller keeps ranges inside [0, size). Throws `DownloadError` for any other answer than the bytes asked for.
 */
export async function openHttpFile(url: string, label: string): Promise<ByteSource | undefined> {
  const response = await fetchRange(url, label, 0, PREFIX);
  if (isMissing(response, url)) {
    await response.body?.cancel();
    return undefined;
  }
  let size: number;
  let prefix: Uint8Array<ArrayBuffer>;
  const range = contentRange(response);
  if (response.status === 206 && range?.start === 0 && range.end <= PREFIX) {
    size = range.size;
    prefix = await rangeBody(response, label, range.end);
  } else if (response.status === 416 && range?.size === 0) {
    await response.body?.cancel();
    size = 0;
    prefix = new Uint8Array(0);
  } else if (response.status === 200 && !(Number(response.headers.get('content-length')) > WHOLE_FILE_LIMIT)) {
    prefix = await wholeBody(response, label);
    size = prefix.length;
  } else {
    await response.body?.cancel();
    throw badAnswer(response, label);
  }
  const tag = response.headers.get('etag');
  return {
    label,
    size,
    async read(start, end) {
      if (end <= prefix.length) return prefix.slice(start, end);
      const part = await fetchRange(url, label, start, end);
      const got = contentRange(part);
      if (part.status !== 206 || !got || got.start !== start || got.end !== end || got.size !== size) {
        await part.body?.cancel();
        throw badAnswer(part, label);
      }
      const tagNow = part.headers.get('etag');
      if (tag && tagNow && tag !== tagNow) {
        await part.body?.cancel();
        throw new DownloadError(`${label}: got another version than at the start, expected ${tag}. Load the model again.`);
      }
      return rangeBody(part, label, end - start);
    },
    async close() {},
  };
}

async function fetchRange(url: string, label: string, start: number, end: number): Promise<Response> {
  try {
    return await fetch(url, { headers: { Range: `bytes=${start}-${end - 1}` } });
  } catch (cause) {
    throw new DownloadError(`${label}: got no answer (${(cause as Error).message}), expected the file. Check the address and the network.`, { cause });
  }
}

/** 404, or the page that a single-page application's server sends for whatever it lacks. */
function isMissing(response: Response, url: string): boolean {
  const page = /^text\/html\b/.test(response.headers.get('content-type') ?? '') && !/\.html?$/.test(new URL(url).pathname);
  return response.status === 404 || response.status === 410 || (response.ok && page);
}

/** `bytes 0-65535/123456` → [start, end) of size; a page of another origin sees it only where the server exposes it. */
function contentRange(response: Response): { start: number; end: number; size: number } | undefined {
  const header = response.headers.get('content-range') ?? '';
  const empty = /^bytes \*\/(\d+)$/.exec(header);
  if (empty) return { start: 0, end: 0, size: Number(empty[1]) };
  const match = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(header);
  if (!match) return undefined;
  const [start, last, size] = match.slice(1).map(Number) as [number, number, number];
  return Number.isSafeInteger(size) && start <= last && last < size ? { start, end: last + 1, size } : undefined;
}

/** The body of a range, written straight into place: a range may be half a gigabyte. */
async function rangeBody(response: Response, label: string, length: number): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(length);
  const got = await eachChunk(response, label, length, (chunk, at) => bytes.set(chunk, at));
  if (got !== length) throw new DownloadError(`${label}: got ${got} bytes of a range, expected ${length}. Check the network and load again.`);
  return bytes;
}

/** The body of a small file whose length nobody vouches for. */
async function wholeBody(response: Response, label: string): Promise<Uint8Array<ArrayBuffer>> {
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  await eachChunk(response, label, WHOLE_FILE_LIMIT, (chunk) => chunks.push(chunk));
  return new Uint8Array(await new Blob(chunks).arrayBuffer());
}

/** Visits the body's chunks and gives their length; stops the connection where more than `limit` bytes come. */
async function eachChunk(
  response: Response,
  label: string,
  limit: number,
  visit: (chunk: Uint8Array<ArrayBuffer>, at: number) => void,
): Promise<number> {
  const reader = response.body?.getReader();
  let length = 0;
  for (;;) {
    const next = await reader?.read().catch((cause: unknown) => {
      throw new DownloadError(`${label}: got a connection that broke after ${length} bytes, expected the rest. Check the network and load again.`, { cause });
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
    return new DownloadError(`${label}: got the whole file, expected the byte range that was asked for. Serve it with a server that knows Range requests.`);
  }
  if (response.status === 206) {
    const header = response.headers.get('content-range') ?? 'none';
    return new DownloadError(`${label}: got Content-Range ${header}, expected the range that was asked for. Another origin must list it in Access-Control-Expose-Headers.`);
  }
  return new DownloadError(`${label}: got HTTP status ${response.status}, expected 206. Check the address.`);
}
