// A model of the Hub in a browser: ranged reads straight from it, and what was read kept in the
// Cache API, as far as the quota goes, so that the second load needs no network. A page cannot see
// redirects or verify hashes of what it reads in parts, so it does neither; the token is dropped at
// another origin by fetch itself. No folders, no node: modules. Reference: Fetch and Service Worker
// standards.
import { DownloadError } from '../../base/errors.ts';
import { openHttpFile, PREFIX, type HttpFile } from '../../files/http_file.ts';
import { fileUrl, noAnswer, noSuchFile, notTheHub, refusal } from './request.ts';
import { commitPattern, hubSettings, type HubOptions } from './settings.ts';
import { timing, withRetries } from '../../files/retry.ts';
import { checkedRanges, pathParts } from '../../files/bytes.ts';
import { orAborted, watch } from '../../base/abort.ts';
import type { ModelSource, OpenOptions } from '../../files/model_source.ts';

const CACHE = 'bark-webgpu-hub';
const QUOTA_SHARE = 0.9; // of what the browser allows; the rest is the page's own

/** What is known of a file after its first request. */
interface Opened {
  readonly size: number;
  readonly prefix: Uint8Array<ArrayBuffer>;
  /** From the Hub, once the cache does not have all that is asked for. */
  remote?: Promise<HttpFile> | undefined;
}

/** As `openHub`. `caches` and `navigator.storage` may be missing: then every load fetches. */
export async function openHubInBrowser(
  id: string,
  options: HubOptions = {},
  caches = pageCaches(),
): Promise<ModelSource> {
  const hub = await hubSettings(id, options);
  const cache = await caches?.open(CACHE).catch(() => undefined); // private windows may refuse
  const headers: Record<string, string> = hub.token ? { authorization: `Bearer ${hub.token}` } : {};
  const refUrl = `${hub.endpoint}/api/models/${hub.id}/revision/${encodeURIComponent(hub.revision)}?expand%5B%5D=sha`;
  const files = new Map<string, Promise<Opened | undefined>>();
  let pinned: Promise<string | undefined> | undefined;
  let lost: DownloadError | undefined; // why the Hub is not to be had, once the cache has to do

  const stored = async (key: string) => (await cache?.match(key).catch(() => undefined)) ?? undefined;

  async function store(
    key: string,
    body: Uint8Array<ArrayBuffer> | string,
    more: Record<string, string> = {},
  ): Promise<void> {
    if (!cache) return;
    const { quota = Infinity, usage = 0 }: StorageEstimate =
      (await globalThis.navigator?.storage?.estimate?.().catch(() => undefined)) ?? {};
    if (usage + body.length > quota * QUOTA_SHARE) return;
    await cache
      .put(key, new Response(body, { headers: { ...more, 'content-length': `${body.length}` } }))
      .catch(() => {}); // full after all
  }

  function offline(what: string): DownloadError {
    const why = lost
      ? `the Hub could not be asked (${lost.message.replace(/, expected .*/s, '')})`
      : 'the network is not to be used (localFilesOnly)';
    return new DownloadError(
      `${hub.label}: got no ${what} in this browser's cache, expected it there: ${why}. Load the model once with the network.`,
      { cause: lost, reason: 'offline' },
    );
  }

  /**
   * The commit of the revision, so that all files are of one version; undefined where the endpoint
   * does not tell.
   */
  async function findCommit(): Promise<string | undefined> {
    if (commitPattern.test(hub.revision)) return hub.revision;
    const before = await (await stored(refUrl))?.text();
    if (hub.offline) {
      if (!before) throw offline('copy of it');
      return before;
    }
    try {
      const now = await withRetries(askCommit, { tries: before ? 1 : timing.tries });
      if (now && now !== before) {
        if (before) await forget(before);
        await store(refUrl, now);
      }
      return now;
    } catch (cause) {
      if (!before || !(cause instanceof DownloadError) || cause.reason !== 'network') throw cause;
      lost = cause;
      return before;
    }
  }

  async function askCommit(): Promise<string | undefined> {
    const timeout = watch(hub.headTimeout);
    try {
      const response = await fetch(refUrl, { headers, signal: timeout.signal });
      if (!response.ok) throw refusal(hub, hub.label, response, true);
      const { sha } = ((await response.json()) ?? {}) as { sha?: unknown };
      return typeof sha === 'string' && commitPattern.test(sha) ? sha : undefined;
    } catch (cause) {
      if (cause instanceof DownloadError) throw cause;
      if (cause instanceof SyntaxError) throw notTheHub(hub, hub.label, 'an answer that is not JSON');
      throw noAnswer(hub.label, new URL(refUrl), timeout.expired ? timeout.signal.reason : cause);
    } finally {
      timeout.end();
    }
  }

  /** Makes room: a version that the revision no longer has. */
  async function forget(commit: string): Promise<void> {
    const old = fileUrl(hub, commit, ['']);
    for (const { url } of (await cache?.keys().catch(() => [])) ?? [])
      if (url.startsWith(old)) await cache!.delete(url).catch(() => false);
  }

  function fetchFile(url: string, label: string): Promise<HttpFile | undefined> {
    const onAnswer = (response: Response) => {
      const missing = response.status === 404 && /^(EntryNotFound)?$/.test(response.headers.get('x-error-code') ?? '');
      // else a store, by a link that may have expired
      const atHub = new URL(response.url || url).origin === new URL(url).origin;
      if (response.status >= 400 && response.status !== 416 && !(missing && atHub))
        throw refusal(hub, label, response, atHub);
    };
    return openHttpFile(url, label, { headers, onAnswer, tries: timing.tries, idle: hub.idleTimeout });
  }

  async function find(key: string, url: string, keep: boolean): Promise<Opened | undefined> {
    const old = keep ? await stored(`${url}?open`) : undefined;
    if (old?.headers.get('x-absent')) return undefined;
    if (old) return { size: Number(old.headers.get('x-size')), prefix: new Uint8Array(await old.arrayBuffer()) };
    if (hub.offline || lost) return undefined;
    const file = await fetchFile(url, `${hub.label}/${key}`);
    if (!file) {
      if (keep) await store(`${url}?open`, '', { 'x-absent': '1' });
      return undefined;
    }
    const prefix = await file.read(0, Math.min(file.size, PREFIX));
    if (keep) await store(`${url}?open`, prefix, { 'x-size': `${file.size}` });
    return { size: file.size, prefix, remote: Promise.resolve(file) };
  }

  async function locate(
    path: string,
    signal: AbortSignal | undefined,
  ): Promise<{ key: string; url: string; keep: boolean; opened: Opened | undefined }> {
    const parts = pathParts(hub.label, path);
    const key = parts.join('/');
    const commit = await orAborted((pinned ??= retried(findCommit(), () => (pinned = undefined))), signal);
    const url = fileUrl(hub, commit ?? hub.revision, parts);
    const keep = commit !== undefined;
    if (!files.has(key))
      files.set(
        key,
        retried(find(key, url, keep), () => files.delete(key)),
      );
    return { key, url, keep, opened: await orAborted(files.get(key)!, signal) };
  }

  return {
    label: hub.label,
    has: async (path, { signal } = {}) => (await locate(path, signal)).opened !== undefined,
    async open(path, { signal, onDownload }: OpenOptions = {}) {
      const { key, url, keep, opened } = await locate(path, signal);
      const label = `${hub.label}/${key}`;
      if (!opened) throw hub.offline || lost ? offline(`file ${JSON.stringify(key)}`) : noSuchFile(hub, key);
      const { size, prefix } = opened;
      let done = prefix.length;

      async function fetchRange(start: number, end: number): Promise<Uint8Array<ArrayBuffer>> {
        opened!.remote ??= retried(
          fetchFile(url, label).then((file) => {
            if (file?.size !== size)
              throw new DownloadError(
                `${label}: got a file of ${file?.size ?? 'no'} bytes, expected ${size} as before. Load the model again.`,
                { reason: 'damaged' },
              );
            return file;
          }),
          () => (opened!.remote = undefined),
        );
        const bytes = await (await orAborted(opened!.remote, signal)).read(start, end, signal);
        if (keep) await store(`${url}?bytes=${start}-${end - 1}`, bytes);
        return bytes;
      }

      return checkedRanges({
        label,
        size,
        async read(start, end) {
          if (end <= prefix.length) return prefix.slice(start, end);
          const old = keep ? await stored(`${url}?bytes=${start}-${end - 1}`) : undefined;
          if (!old && hub.offline) throw offline(`bytes [${start}, ${end}) of ${JSON.stringify(key)}`);
          const kept = old && new Uint8Array(await old.arrayBuffer());
          if (kept?.length === end - start) return kept;
          const bytes = await fetchRange(start, end);
          done = Math.min(done + bytes.length, size);
          onDownload?.({ file: key, done, total: size });
          return bytes;
        },
        async close() {},
      });
    },
  };
}

/**
 * undefined in a page that has none: not https, or in a frame whose sandbox makes the very look an
 * error.
 */
function pageCaches(): CacheStorage | undefined {
  try {
    return globalThis.caches;
  } catch {
    return undefined;
  }
}

/** A failed promise is forgotten, so that the next caller tries again. */
function retried<T>(promise: Promise<T>, forget: () => void): Promise<T> {
  promise.catch(forget);
  return promise;
}
