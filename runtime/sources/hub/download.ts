// One blob of the Hub into the cache: ranged GETs into a partial file, taken up again after a cut,
// a stop or a kill; verified, then renamed. Partial files are `<etag>.<lock id>.partial`, each
// written by one holder of the lock only; Python locks and names its own otherwise, so both at once
// download twice at worst. No parallel ranges. Reference: huggingface_hub/file_download.py
// (http_get).
import { DownloadError } from '../../base/errors.ts';
import { byteCount } from '../../base/messages.ts';
import { cacheError } from './cache.ts';
import { noAnswer, refusal, request } from './request.ts';
import { contentRange } from '../../files/http_file.ts';
import { takeLock, type Lock } from '../../host/lock.ts';
import { makeFolder } from '../../host/make_folder.ts';
import { PassingFailure, withRetries } from '../../files/retry.ts';
import { watch } from '../../base/abort.ts';
import type { OpenOptions } from '../../files/model_source.ts';
import { type BlobJob, type Partial, partials, takeUp, newHash, isWhole, restart, append } from './partial_file.ts';
const REPORT_EVERY = 100; // ms

/**
 * Fetches the blob, unless another process is doing so or has done so. Returns false if another
 * process completed the file. Throws `DownloadError`; what was fetched so far is kept for the next
 * try. Rejects with the signal's reason when that aborts.
 */
export async function fetchBlob(job: BlobJob, { signal, onDownload }: OpenOptions): Promise<boolean> {
  const { cache, file } = job;
  const report = reporter(job, onDownload);
  for (;;) {
    signal?.throwIfAborted();
    const until = async () => {
      if (await job.isHere()) return true;
      if (onDownload) report((await partials(job)).at(0)?.size ?? 0); // another process is at it
      return false;
    };
    if (await job.isHere()) return false;
    const lock = await takeLock(cache.locks, file.etag, { signal, until }).catch((cause: unknown) => {
      signal?.throwIfAborted();
      throw cause instanceof DownloadError ? cause : cacheError(cache.locks, cause);
    });
    const arrived = () => {
      if (file.size !== undefined) report(file.size); // what others fetched is whole
      return false;
    };
    if (!lock) return arrived();
    try {
      if (await job.isHere()) return arrived();
      await fetchLocked(job, lock, report, signal);
      return true;
    } catch (cause) {
      signal?.throwIfAborted();
      if (await lock.isHeld()) throw cause instanceof DownloadError ? cause : cacheError(cache.blobs, cause);
      // Thought dead while the computer was busy or asleep: someone else downloads now.
    } finally {
      await lock.release();
    }
  }
}

function reporter({ path, file }: BlobJob, onDownload: OpenOptions['onDownload']) {
  let last = -Infinity;
  let lastDone = -1;
  return (done: number, total = file.size) => {
    const now = performance.now();
    if (!onDownload || done === lastDone || (done !== total && now - last < REPORT_EVERY)) return;
    last = now;
    lastDone = done;
    onDownload({ file: path, done: Math.min(done, total ?? done), total: total ?? done });
  };
}

async function fetchLocked(
  job: BlobJob,
  lock: Lock,
  report: (done: number, total?: number) => void,
  signal?: AbortSignal,
): Promise<void> {
  const fs = await import('node:fs/promises');
  const { cache, file } = job;
  const path = `${cache.blobs}/${file.etag}.${lock.id}.partial`;
  await makeFolder(cache.blobs);
  await adopt(job, lock, path);
  for (let attempt = 1; ; attempt++) {
    const handle = await fs.open(path, 'r+').catch(() => fs.open(path, 'w+'));
    let whole = false;
    try {
      const partial: Partial = { path, handle, length: 0, total: file.size, hash: await newHash(file.etag, file.size) };
      await takeUp(partial, signal);
      await checkSpace(job, partial);
      report(partial.length);
      await fill(job, lock, partial, report, signal);
      await handle.sync();
      whole = await isWhole(partial, file.etag, signal);
    } finally {
      await handle.close();
    }
    if (whole) break;
    await fs.rm(path, { force: true });
    if (attempt === 2) {
      const kind = file.etag.length === 64 ? 'sha256' : 'git hash';
      throw new DownloadError(
        `${job.hub.label}/${job.path}: got bytes with another ${kind} than ${file.etag}, twice, expected that one. Nothing of it was kept. Check the network's proxy, and try again.`,
        { reason: 'damaged' },
      );
    }
  }
  if (!(await lock.isHeld())) throw new Error('the lock was lost');
  await fs.rename(path, `${cache.blobs}/${file.etag}`);
}

/** Makes the longest partial file of earlier holders this one's; the others are of no use. */
async function adopt(job: BlobJob, lock: Lock, path: string): Promise<void> {
  const fs = await import('node:fs/promises');
  const { cache, file } = job;
  const found = await partials(job);
  const best = found.findIndex(({ size }) => size <= (file.size ?? Infinity));
  for (const [index, { name }] of found.entries()) {
    const old = `${cache.blobs}/${name}`;
    if (index !== best) await fs.rm(old, { force: true });
    else if (!lock.usurped) await fs.rename(old, path);
    else {
      // Its writer may wake up: let it write to, and rename, what no longer has a name.
      await fs.copyFile(old, path);
      await fs.rm(old, { force: true });
    }
  }
}

async function checkSpace({ hub, path, cache }: BlobJob, { total, length }: Partial): Promise<void> {
  const { statfs } = await import('node:fs/promises');
  const disk = await statfs?.(cache.blobs).catch(() => undefined);
  const free = disk && disk.blocks > 0 ? disk.bavail * disk.bsize : Infinity; // some network folders tell nothing
  const needed = (total ?? 0) - length;
  if (needed > free) {
    throw new DownloadError(
      `${hub.label}/${path}: got ${byteCount(free)} free at ${cache.blobs}, expected ${byteCount(needed)}. Free some, or choose another disk with HF_HUB_CACHE or cacheDir.`,
      { reason: 'disk' },
    );
  }
}

/** Requests until the file is whole; gives up after `timing.tries` in a row that got no further. */
async function fill(
  job: BlobJob,
  lock: Lock,
  partial: Partial,
  report: (done: number, total?: number) => void,
  signal?: AbortSignal,
): Promise<void> {
  const next = async () => {
    if (!(await lock.isHeld())) throw new Error('the lock was lost'); // stopped for so long that someone else took over
    if (partial.length !== partial.total) await transfer(job, partial, report, signal);
  };
  await withRetries(next, { signal, progress: () => partial.length });
  report(partial.length, partial.length);
}

/**
 * One GET from where the partial file ends. Throws `PassingFailure` for a connection that broke.
 */
async function transfer(
  job: BlobJob,
  partial: Partial,
  report: (done: number, total?: number) => void,
  signal?: AbortSignal,
): Promise<void> {
  const { hub, url, file } = job;
  const label = `${hub.label}/${job.path}`;
  const idle = watch(hub.idleTimeout, signal);
  try {
    const resume = partial.length > 0;
    const headers: Record<string, string> = resume ? { range: `bytes=${partial.length}-` } : {};
    const hubHeaders: Record<string, string> = resume && file.rangeTag ? { 'if-range': file.rangeTag } : {};
    const { response, atHub } = await request(hub, {
      url,
      label,
      method: 'GET',
      headers,
      hubHeaders,
      signal: idle.signal,
    });
    await begin(response, atHub, job, partial);
    const reader = response.body?.getReader();
    for (;;) {
      idle.touch();
      const next = await reader?.read();
      if (!next || next.done) break;
      idle.pause(); // a slow disk is no slow network
      if (partial.length + next.value.length > (partial.total ?? Infinity)) {
        await restart(partial, file.etag);
        throw new DownloadError(
          `${label}: got more than the ${partial.total} bytes that the Hub promised. Check the network's proxy, and try again.`,
          { reason: 'damaged' },
        );
      }
      await append(partial, next.value, job.cache.blobs);
      report(partial.length, partial.total);
    }
    if (partial.total !== undefined && partial.length < partial.total) {
      throw new PassingFailure(
        `${label}: got ${partial.length} bytes, expected ${partial.total}. Check the network, and load the model again: what was fetched is kept.`,
      );
    }
  } catch (cause) {
    signal?.throwIfAborted();
    if (cause instanceof DownloadError && !idle.expired) throw cause;
    throw noAnswer(label, new URL(hub.endpoint), idle.expired ? idle.signal.reason : cause);
  } finally {
    idle.end(); // before the abort, which is not a timeout
    idle.abort();
  }
}

/**
 * Checks what the answer says it brings, and goes back to the start where it brings the whole file.
 */
async function begin(response: Response, atHub: boolean, job: BlobJob, partial: Partial): Promise<void> {
  const { status, headers } = response;
  const label = `${job.hub.label}/${job.path}`;
  const encoded = !/^(identity)?$/i.test(headers.get('content-encoding') ?? '');
  let total: number | undefined;
  if (status === 206) {
    const range = contentRange(response);
    if (encoded || range?.start !== partial.length) {
      await restart(partial, job.file.etag);
      throw new PassingFailure(
        `${label}: got Content-Range ${headers.get('content-range') ?? 'none'}, expected what was asked for. Check the network's proxy.`,
      );
    }
    total = range.size;
  } else if (status === 200) {
    total = !encoded && headers.get('content-length') ? Number(headers.get('content-length')) : undefined;
  } else if (status === 416) {
    await restart(partial, job.file.etag);
    throw new PassingFailure(
      `${label}: got HTTP status 416, expected the rest of the file. Check the network's proxy.`,
    );
  } else throw refusal(job.hub, label, response, atHub);
  if (total !== undefined && total !== (partial.total ??= total)) {
    throw new DownloadError(
      `${label}: got a file of ${total} bytes, expected ${partial.total} as the Hub promised. Check the network's proxy, and try again.`,
      { reason: 'damaged' },
    );
  }
  // it knows no ranges, or has another version
  if (status === 200 && partial.length > 0) await restart(partial, job.file.etag);
}
