// A model of the Hugging Face Hub as a source: files are fetched into the cache that Python's
// huggingface_hub uses, and read from there. Our own, because npm @huggingface/hub (2.17.5) has no
// resume, progress, abort, hash check, lock or offline use of a branch, reads no HF_TOKEN and no
// cache in browsers. No uploads, no listing, no Xet protocol: the Hub serves every file over plain
// https too.
import { DownloadError } from '../../base/errors.ts';
import { openHubInBrowser } from './browser.ts';
import { openHubCache } from './cache.ts';
import { fetchBlob } from './download.ts';
import { askAbout, fileUrl, noSuchFile, type RemoteFile } from './request.ts';
import { commitPattern, hubSettings, type HubOptions } from './settings.ts';
import { host } from '../../host/platform.ts';
import { withRetries } from '../../files/retry.ts';
import { openFile, pathParts } from '../../files/bytes.ts';
import { orAborted } from '../../base/abort.ts';
import type { ByteSource, ModelSource, OpenOptions } from '../../files/model_source.ts';
/** Where a file is: here under a name, at the Hub, or (`undefined`) nowhere. */
type Place = { name: string } | { remote: RemoteFile } | undefined;

const QUICK_TRIES = 3; // where the cache may do instead

/**
 * Opens a model of the Hub; asks it for nothing yet. The first answer fixes the commit, so that all
 * files are of one version.
 * Throws `InputError` for what cannot be an id, revision or token, and `DownloadError` when offline
 * and nothing of it is in the cache.
 */
export async function openHub(id: string, options: HubOptions = {}): Promise<ModelSource> {
  if (host === 'browser') return openHubInBrowser(id, options);
  const hub = await hubSettings(id, options);
  const cache = await openHubCache(id, options.cacheDir);
  const known = new Map<string, RemoteFile | 'absent'>();
  let commit = commitPattern.test(hub.revision) ? hub.revision : undefined;
  let first: Promise<unknown> | undefined; // the question whose answer fixes the commit
  let answered = false; // by the Hub, so that the cache alone no longer tells what there is
  let lost: DownloadError | undefined; // why the Hub is not to be had, once the cache has to do

  if (hub.offline) {
    commit ??= await cache.commitOf(hub.revision);
    if (!commit || !(await cache.hasSnapshot(commit))) {
      throw new DownloadError(
        `${hub.label}: got no copy in ${cache.folder}, expected one: the network is not to be used (HF_HUB_OFFLINE or localFilesOnly). Load it once with the network, or pass a folder.`,
        { reason: 'offline' },
      );
    }
  }

  async function locate(parts: string[], signal: AbortSignal | undefined, persist: boolean): Promise<Place> {
    signal?.throwIfAborted();
    while (!commit && first)
      await orAborted(
        first.catch(() => {}),
        signal,
      );
    const here = commit && (await cache.find(commit, parts));
    if (here) return { name: here };
    const key = parts.join('/');
    const answer = known.get(key) ?? (commit && (await cache.isAbsent(commit, parts)) ? 'absent' : undefined);
    if (answer) return answer === 'absent' ? undefined : { remote: answer };
    if (hub.offline || (lost && !persist)) return undefined;
    const asked = ask(parts, signal);
    if (commit) return asked;
    first = asked;
    return asked.finally(() => (first = undefined));
  }

  /**
   * One question to the Hub. Where no answer comes, the cache has to do, with the last commit that
   * it knows for the revision.
   */
  async function ask(parts: string[], signal: AbortSignal | undefined): Promise<Place> {
    const key = parts.join('/');
    const cached = commit ?? (await cache.commitOf(hub.revision));
    const stop = async () => cached !== undefined && (await cache.find(cached, parts)) !== undefined;
    const tries = lost ? 1 : cached ? QUICK_TRIES : undefined;
    try {
      const answer = await withRetries(
        () => askAbout(hub, commit ?? hub.revision, parts, { pinned: commit !== undefined, signal }),
        { signal, tries, stop },
      );
      if (commit && answer.commit && answer.commit !== commit) {
        throw new DownloadError(
          `${hub.label}/${key}: got commit ${answer.commit}, expected ${commit}. Check HF_ENDPOINT and the network's proxy.`,
          { reason: 'damaged' },
        );
      }
      lost = undefined;
      answered = true;
      commit ??= answer.commit;
      known.set(key, answer.file ?? 'absent');
      if (!answer.file && commit) await cache.markAbsent(commit, parts);
      const here = answer.file && (await cache.find(answer.file.commit, parts));
      if (here) await cache.remember(hub.revision, answer.file!.commit);
      return here ? { name: here } : answer.file && { remote: answer.file };
    } catch (cause) {
      signal?.throwIfAborted();
      // As in Python, what the Hub has not is an error, whatever the cache has; trouble with the
      // network or with access is not.
      if (
        !(cause instanceof DownloadError) ||
        cause.reason === 'revision' ||
        cause.reason === 'damaged' ||
        answered ||
        !cached
      )
        throw cause;
      const name = await cache.find(cached, parts);
      if (!name && (cause.reason !== 'network' || !(await cache.hasSnapshot(cached)))) throw cause;
      commit = cached;
      if (name) return { name };
      lost = cause;
      return undefined;
    }
  }

  function notHere(key: string): Error {
    if (lost)
      return new DownloadError(`${lost.message} There is no copy of it in ${cache.folder} either.`, {
        cause: lost,
        reason: lost.reason,
      });
    if (!hub.offline) return noSuchFile(hub, key);
    return new DownloadError(
      `${hub.label}: got no file ${JSON.stringify(key)} in ${cache.folder}, expected it there: the network is not to be used (HF_HUB_OFFLINE or localFilesOnly). Load the model once with the network.`,
      { reason: 'offline' },
    );
  }

  async function fetchFile(parts: string[], remote: RemoteFile, options: OpenOptions): Promise<string> {
    const url = fileUrl(hub, remote.commit, parts);
    const isHere = async () =>
      (await cache.hasBlob(remote.etag, remote.size)) || (await cache.find(remote.commit, parts)) !== undefined;
    const fresh = await fetchBlob({ hub, cache, url, path: parts.join('/'), file: remote, isHere }, options);
    const name =
      (await cache.find(remote.commit, parts)) ?? (await cache.link(remote.commit, parts, remote.etag, fresh));
    await cache.remember(hub.revision, remote.commit);
    return name;
  }

  return {
    label: hub.label,
    has: async (path, { signal } = {}) => (await locate(pathParts(hub.label, path), signal, false)) !== undefined,
    async open(path, options = {}): Promise<ByteSource> {
      const parts = pathParts(hub.label, path);
      const place = await locate(parts, options.signal, true);
      if (!place) throw notHere(parts.join('/'));
      return openFile('name' in place ? place.name : await fetchFile(parts, place.remote, options));
    },
  };
}
