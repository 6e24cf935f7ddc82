// Requests to the Hub: redirects by hand, so that the token stays with the endpoint's own origin,
// and what its answers mean.
// One try each; trying again is retry.ts's. Reference: huggingface_hub/utils/_http.py and
// get_hf_file_metadata.

import { DownloadError, WeightsError } from '../../base/errors.ts';
import { commitPattern, type HubSettings } from './settings.ts';
import { env, host } from '../../host/platform.ts';
import { isPassingStatus, PassingFailure, retryAfter, timing } from '../../files/retry.ts';
import { watch } from '../../base/abort.ts';

const MOST_REDIRECTS = 10;
const HUB_ITSELF = /^https:\/\/(?:huggingface\.co|hf\.co)$/; // where mirrors send what they do not have

/** A file as the Hub describes it. */
export interface RemoteFile {
  readonly commit: string;
  /** The name of its blob: sha256 of a large file, git's sha1 of a small one. */
  readonly etag: string;
  readonly size: number | undefined;
  /** For If-Range at the endpoint itself; a host it redirects to has tags of its own. */
  readonly rangeTag: string | undefined;
}

export interface HubResponse {
  readonly response: Response;
  /** Whether the endpoint itself answers, not a host that it sent us to. */
  readonly atHub: boolean;
}

export function fileUrl(hub: HubSettings, revision: string, parts: readonly string[]): string {
  return `${hub.endpoint}/${hub.id}/resolve/${encodeURIComponent(revision)}/${parts.map(encodeURIComponent).join('/')}`;
}

/**
 * Sends a request and follows its redirects; `hubHeaders` and the token go to the endpoint's origin
 * only, and to no one once another host was in between. A HEAD ends at the answer that would send
 * it to a store: that one describes the file.
 * Throws `PassingFailure` where no answer comes.
 */
export async function request(
  hub: HubSettings,
  what: {
    url: string;
    label: string;
    method: 'GET' | 'HEAD';
    headers?: Record<string, string>;
    hubHeaders?: Record<string, string>;
    signal: AbortSignal;
  },
): Promise<HubResponse> {
  const home = new URL(hub.endpoint).origin;
  const { label, method, signal } = what;
  let at = new URL(what.url);
  let trusted = true;
  for (let hop = 0; hop <= MOST_REDIRECTS; hop++) {
    trusted &&= at.origin === home;
    const headers = new Headers({ ...what.headers, 'accept-encoding': 'identity', 'user-agent': 'bark-webgpu' });
    if (trusted) for (const [name, value] of Object.entries(what.hubHeaders ?? {})) headers.set(name, value);
    if (trusted && hub.token) headers.set('authorization', `Bearer ${hub.token}`);
    const response = await fetch(at, { method, headers, redirect: 'manual', signal }).catch((cause: unknown) => {
      throw noAnswer(label, at, cause);
    });
    const location = response.status >= 300 && response.status < 400 ? response.headers.get('location') : null;
    if (location === null) return { response, atHub: at.origin === home };
    const next = redirectTarget(location, at, label);
    if (method === 'HEAD' && next.origin !== home && !HUB_ITSELF.test(next.origin)) return { response, atHub: true };
    await response.body?.cancel();
    at = next;
  }
  throw new DownloadError(
    `${label}: got more than ${MOST_REDIRECTS} redirects, expected the file. Check HF_ENDPOINT and the network's proxy.`,
  );
}

function redirectTarget(location: string, from: URL, label: string): URL {
  // The address is not quoted: it may be signed.
  const next = URL.canParse(location, from.href) ? new URL(location, from) : undefined;
  if (!next || !/^https?:$/.test(next.protocol) || (from.protocol === 'https:' && next.protocol === 'http:')) {
    throw new DownloadError(
      `${label}: got a redirect from ${from.host} to no safe address, expected https. Check HF_ENDPOINT and the network's proxy.`,
    );
  }
  return next;
}

export function noAnswer(label: string, at: URL, cause: unknown): PassingFailure {
  const inner = (cause as Error)?.cause as NodeJS.ErrnoException | undefined;
  const why = inner?.code ?? (inner?.message || (cause as Error)?.message) ?? String(cause);
  const proxy =
    host === 'node' && (env('HTTPS_PROXY') ?? env('https_proxy'))
      ? ' Node uses HTTPS_PROXY from version 24 on, with NODE_USE_ENV_PROXY=1.'
      : '';
  return new PassingFailure(
    `${label}: got no answer from ${at.host} (${why}), expected the file. Check the network, and HF_ENDPOINT if it is set.${proxy}`,
    { cause },
  );
}

/**
 * Asks the Hub about a file; undefined in place of the file where there is none, with the commit
 * where the Hub names it.
 * `pinned`: the revision is a commit that the Hub or the cache named, so a bare 404 means the file.
 */
export async function askAbout(
  hub: HubSettings,
  revision: string,
  parts: readonly string[],
  { pinned, signal }: { pinned: boolean; signal: AbortSignal | undefined },
): Promise<{ file?: RemoteFile; commit?: string | undefined }> {
  const label = `${hub.label}/${parts.join('/')}`;
  const url = fileUrl(hub, revision, parts);
  const timeout = watch(hub.headTimeout, signal);
  try {
    const { response } = await request(hub, { url, label, method: 'HEAD', signal: timeout.signal });
    await response.body?.cancel();
    const { headers, status } = response;
    const commit = headers.get('x-repo-commit') ?? undefined;
    if (commit !== undefined && !commitPattern.test(commit))
      throw notTheHub(hub, label, `the commit ${JSON.stringify(commit.slice(0, 80))}`);
    const code = headers.get('x-error-code');
    if (code === 'EntryNotFound' || (status === 404 && !code && (pinned || commit))) return { commit };
    if (status !== 200 && !(status >= 300 && status < 400)) throw refusal(hub, label, response, true);
    if (!commit) throw notTheHub(hub, label, 'an answer without X-Repo-Commit');
    const linked = headers.get('x-linked-etag');
    const tag = linked || headers.get('etag') || '';
    const etag = tag.replace(/^(?:W\/)+/, '').replace(/^"+|"+$/g, '');
    if (!/^[\w-]{1,200}$/.test(etag)) throw notTheHub(hub, label, `the ETag ${JSON.stringify(tag.slice(0, 80))}`);
    const length =
      headers.get('x-linked-size') ||
      (status === 200 && !headers.get('content-encoding') ? headers.get('content-length') : null);
    const size = length ? Number(length) : undefined;
    if (size !== undefined && !(Number.isSafeInteger(size) && size >= 0))
      throw notTheHub(hub, label, `the size ${JSON.stringify(length!.slice(0, 80))}`);
    return {
      commit,
      file: { commit, etag, size, rangeTag: status === 200 && !linked && tag.startsWith('"') ? tag : undefined },
    };
  } catch (cause) {
    signal?.throwIfAborted();
    throw timeout.expired ? noAnswer(label, new URL(url), timeout.signal.reason) : cause;
  } finally {
    timeout.end();
  }
}

export function noSuchFile(hub: HubSettings, key: string): WeightsError {
  return new WeightsError(
    `${hub.label}: got no file ${JSON.stringify(key)} at ${hub.endpoint}/${hub.id}, expected one. Is this the right model, and the right revision of it?`,
  );
}

/**
 * A captive portal, a proxy or a mirror that does not speak the contract. The cache may still have
 * the file, as if there were no network.
 */
export function notTheHub(hub: HubSettings, label: string, got: string): DownloadError {
  return new DownloadError(
    `${label}: got ${got} from ${hub.endpoint}, expected an answer of the Hub. Check HF_ENDPOINT and the network's proxy or login page.`,
  );
}

/**
 * Why an answer is not the file. `atHub` false: a host that the Hub sent us to, whose link may have
 * expired.
 */
export function refusal(hub: HubSettings, label: string, response: Response, atHub: boolean): DownloadError {
  const { status, headers } = response;
  const code = headers.get('x-error-code');
  const page = `${hub.endpoint}/${hub.id}`;
  if (isPassingStatus(status)) {
    const after = retryAfter(response);
    const wait = after ? `Wait ${Math.ceil(after / 1000)} s and try again` : 'Try again later';
    const message = `${label}: got HTTP status ${status}, expected the file. ${wait}${status === 429 && !hub.token ? '; with HF_TOKEN set, more requests are allowed' : ''}.`;
    return (after ?? 0) > timing.longestRetryAfter
      ? new DownloadError(message)
      : new PassingFailure(message, { after });
  }
  if (!atHub && (status === 401 || status === 403 || status === 404 || status === 410)) {
    return new PassingFailure(
      `${label}: got a link that had expired (HTTP status ${status}), expected the file. Load the model again.`,
      { after: 0 },
    );
  }
  if (code === 'GatedRepo') {
    const token = hub.token
      ? 'with the account that your token belongs to'
      : "and set HF_TOKEN to a token of that account (or run 'hf auth login')";
    return new DownloadError(
      `${label}: got a gated model (HTTP status ${status}), expected access. Accept its terms at ${page} ${token}.`,
      { reason: 'gated' },
    );
  }
  if (code === 'RevisionNotFound') {
    return new DownloadError(
      `${label}: got no revision ${JSON.stringify(hub.revision)}, expected a branch, tag or commit of ${page}. Check 'revision'.`,
      { reason: 'revision' },
    );
  }
  if (status === 401 && /invalid credentials/i.test(headers.get('x-error-message') ?? '')) {
    return new DownloadError(
      `${label}: got a token that ${hub.endpoint} refuses, expected a valid one. Correct or unset HF_TOKEN, or run 'hf auth login' again.`,
      { reason: 'token' },
    );
  }
  if (code === 'RepoNotFound' || status === 401 || status === 404) {
    const access = hub.token
      ? 'If it is private, your token needs the right to read it.'
      : 'If it is private, set HF_TOKEN to a token that may read it.';
    return new DownloadError(
      `${label}: got no model ${JSON.stringify(hub.id)} at ${hub.endpoint} (HTTP status ${status}) and no folder of that name, expected one of them. Check the spelling. ${access}`,
      { reason: 'repository' },
    );
  }
  if (status === 403) {
    return new DownloadError(
      `${label}: got HTTP status 403, expected access. Give your token the right to read ${page}, or set HF_TOKEN to one that has it.`,
      { reason: 'token' },
    );
  }
  return new DownloadError(`${label}: got HTTP status ${status}, expected the file. Check ${page}.`);
}
