// A small Hub on loopback that speaks the real contract, and breaks it on demand: two servers on
// two ports, the Hub (small files itself, large ones as 302 to signed links) and the store behind
// those links. Keeps a log of what it was asked and how many bytes it gave. Reference: what
// huggingface.co answers to /<id>/resolve/<revision>/<path>, as huggingface_hub's file_download.py
// reads it. No xet, no pushes.

import { createHash } from 'node:crypto';
import {
  createServer,
  type IncomingMessage,
  type OutgoingHttpHeaders,
  type Server,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { PIECE, type Answer, answer, refusal, fileAnswer, resized, type Fault, type Port } from './answers.ts';

export interface HubFile {
  readonly bytes: Uint8Array;
  /** Large files: named by sha256, and fetched from the other port. */
  readonly lfs?: boolean;
}

export interface Repo {
  /** Files of each commit, by path. */
  readonly commits: Map<string, ReadonlyMap<string, HubFile>>;
  /** Commits of branches and tags. */
  readonly refs: Map<string, string>;
  /** Renamed: where its requests are sent on to. */
  movedTo?: string;
  /** Who has no such token is told that there is no such repository. */
  privateTo?: string;
  /** Who has no such token is told to ask for access. */
  gatedTo?: string;
  /**
   * Small files come from a relative 307 to /api/resolve-cache, as on huggingface.co since 2025.
   */
  resolveCache?: boolean;
}

interface LoggedRequest {
  readonly method: string;
  readonly port: Port;
  readonly path: string;
  readonly range: string | undefined;
  readonly authorization: string | undefined;
  status: number;
  /** Body bytes written so far. */
  bytes: number;
}

export interface FakeHub {
  readonly endpoint: string;
  readonly cdn: string;
  readonly repos: Map<string, Repo>;
  readonly log: LoggedRequest[];
  faults: Fault[];
  /** Every body at this pace; 0 is at once. */
  bytesPerSecond: number;
  /** Whether small files are compressed, for those who accept that or for all. */
  gzip: 'never' | 'accepted' | 'always';
  /** Voids all links given out so far. */
  expireLinks(): void;
  gets(path?: RegExp): LoggedRequest[];
  /** Body bytes given out, of both ports. */
  bytesGiven(): number;
  close(): Promise<void>;
  /** Opens the same two ports again after `close`. */
  reopen(): Promise<void>;
}

export const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
export const gitSha1 = (bytes: Uint8Array): string =>
  createHash('sha1').update(`blob ${bytes.length}\0`).update(bytes).digest('hex');
export const etagOf = ({ bytes, lfs }: HubFile): string => (lfs ? sha256(bytes) : gitSha1(bytes));

/** Starts both ports. Close it, or the process stays. */
export async function startHub(repos: Record<string, Repo> | Map<string, Repo>): Promise<FakeHub> {
  let generation = 0;
  let servers: [Server, Server] | undefined;
  let ports: [number, number] = [0, 0];
  const blobs = new Map<string, Uint8Array>();
  const sign = (sha: string, expires: string) => sha256(Buffer.from(`${generation} ${sha} ${expires}`)).slice(0, 16);

  const hub: FakeHub = {
    get endpoint() {
      return `http://127.0.0.1:${ports[0]}`;
    },
    get cdn() {
      return `http://127.0.0.1:${ports[1]}`;
    },
    repos: new Map(repos instanceof Map ? repos : Object.entries(repos)),
    log: [],
    faults: [],
    bytesPerSecond: 0,
    gzip: 'never',
    expireLinks: () => void generation++,
    gets: (path = /^/) => hub.log.filter((entry) => entry.method === 'GET' && path.test(entry.path)),
    bytesGiven: () => hub.log.reduce((sum, { bytes }) => sum + bytes, 0),
    async close() {
      await Promise.all(
        (servers ?? []).map(
          (server) => new Promise((resolve) => (server.close(resolve), server.closeAllConnections())),
        ),
      );
      servers = undefined;
    },
    async reopen() {
      servers = [
        createServer((...both) => void serve('hub', ...both)),
        createServer((...both) => void serve('cdn', ...both)),
      ];
      // A stalled answer keeps no process alive.
      for (const server of servers) server.unref().on('connection', (socket) => socket.unref());
      await Promise.all(
        servers.map(
          (server, i) => new Promise((resolve) => server.listen(ports[i], '127.0.0.1', () => resolve(undefined))),
        ),
      );
      ports = servers.map((server) => (server.address() as AddressInfo).port) as [number, number];
    },
  };

  function hubAnswer(request: IncomingMessage, path: string, fault: Fault): Answer {
    const api = /^\/api\/models\/([^/]+\/[^/]+)(?:\/revision\/([^/?]+))?$/.exec(path);
    const match = api ?? /^\/(?:api\/resolve-cache\/models\/)?([^/]+\/[^/]+)\/(?:resolve\/)?([^/]+)\/(.+)$/.exec(path);
    if (!match) return answer(404, {}, 'Not Found');
    const [id, revision] = [decodeURIComponent(match[1]!), decodeURIComponent(match[2] ?? 'main')];
    const repo = hub.repos.get(id);
    const token = /^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1];
    if (!repo || (repo.privateTo !== undefined && token !== repo.privateTo))
      return refusal(401, 'RepoNotFound', 'Repository not found');
    if (repo.movedTo) return answer(307, { Location: path.replace(match[1]!, repo.movedTo) });
    if (repo.gatedTo !== undefined && token !== repo.gatedTo)
      return refusal(
        token ? 403 : 401,
        'GatedRepo',
        `Access to model ${id} is restricted. Visit its page to ask for access.`,
      );
    const commit = repo.refs.get(revision) ?? (repo.commits.has(revision) ? revision : undefined);
    const files = commit === undefined ? undefined : repo.commits.get(commit);
    if (!commit || !files) return refusal(404, 'RevisionNotFound', `Invalid rev id: ${revision}`);
    if (api) {
      const json = { id, modelId: id, sha: commit, siblings: [...files.keys()].map((rfilename) => ({ rfilename })) };
      return answer(200, { 'Content-Type': 'application/json' }, JSON.stringify(json));
    }
    const name = decodeURIComponent(match[3]!);
    const file = files.get(name);
    const common = { 'X-Repo-Commit': commit };
    if (!file) return refusal(404, 'EntryNotFound', 'Entry not found', common);
    const bytes = fault.length === undefined || fault.port === 'cdn' ? file.bytes : resized(file.bytes, fault.length);
    const linked = { ...common, 'X-Linked-Etag': `"${etagOf(file)}"`, 'X-Linked-Size': `${bytes.length}` };
    if (file.lfs) {
      const sha = sha256(file.bytes);
      blobs.set(sha, file.bytes);
      const expires = `${Date.now() + 3_600_000}`;
      return answer(
        302,
        { ...linked, Location: `${hub.cdn}/blobs/${sha}?expires=${expires}&sig=${sign(sha, expires)}` },
        'Found',
      );
    }
    if (repo.resolveCache && !path.startsWith('/api/')) {
      return answer(307, {
        ...linked,
        Location: `/api/resolve-cache/models/${match[1]}/${commit}/${match[3]}?etag=%22${etagOf(file)}%22`,
      });
    }
    const right = fileAnswer(request, bytes, etagOf(file), common, fault.ignoreRange);
    const accepted = /\bgzip\b/.test(String(request.headers['accept-encoding']));
    if (right.status !== 200 || hub.gzip === 'never' || (hub.gzip === 'accepted' && !accepted)) return right;
    return {
      ...right,
      headers: { ...right.headers, ETag: `W/"${etagOf(file)}"`, 'Content-Encoding': 'gzip' },
      body: gzipSync(right.body),
    };
  }

  function cdnAnswer(request: IncomingMessage, url: URL, fault: Fault): Answer {
    // Signed links carry their own permission: S3 and CloudFront refuse a request that brings
    // another one.
    if (request.headers.authorization)
      return answer(400, { 'Content-Type': 'application/xml' }, '<Error><Code>InvalidArgument</Code></Error>');
    const sha = url.pathname.slice('/blobs/'.length);
    const bytes = blobs.get(sha);
    const expires = url.searchParams.get('expires') ?? '0';
    if (!bytes || Number(expires) < Date.now() || url.searchParams.get('sig') !== sign(sha, expires)) {
      return answer(
        403,
        { 'Content-Type': 'application/xml' },
        '<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>',
      );
    }
    // The store's own ETag is none of the Hub's.
    return fileAnswer(
      request,
      fault.length === undefined ? bytes : resized(bytes, fault.length),
      `store-${sha.slice(0, 8)}`,
      {},
      fault.ignoreRange,
    );
  }

  async function serve(port: Port, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url!, port === 'hub' ? hub.endpoint : hub.cdn);
    const method = request.method!;
    const path = url.pathname;
    const { range, authorization } = request.headers;
    const entry: LoggedRequest = { method, port, path, range, authorization, status: 0, bytes: 0 };
    hub.log.push(entry);
    response.on('error', () => {});
    const fault =
      hub.faults.find(
        (f) =>
          (f.times ?? 1) > 0 &&
          (!f.port || f.port === port) &&
          (!f.method || f.method === method) &&
          (!f.path || f.path.test(path)),
      ) ?? {};
    if (fault.times !== Infinity) fault.times = (fault.times ?? 1) - 1;
    const right = port === 'hub' ? hubAnswer(request, path, fault) : cdnAnswer(request, url, fault);
    fault.then?.();
    if (fault.status !== undefined)
      Object.assign(right, answer(fault.status, fault.headers, fault.body ?? 'out of order'));
    if (fault.body !== undefined) right.body = Buffer.from(fault.body);
    const headers: Answer['headers'] = {
      Connection: 'close',
      'Content-Length': right.headers['Content-Encoding'] ? undefined : `${right.body.length}`,
      ...right.headers,
      ...fault.headers,
    };
    entry.status = right.status;
    if (fault.hang) return;
    if (fault.cut === 0) return void request.socket.destroy();
    const sent: OutgoingHttpHeaders = Object.fromEntries(
      Object.entries(headers).filter(([, value]) => value !== undefined),
    );
    response.writeHead(right.status, sent);
    if (method === 'HEAD') return void response.end();
    await sendBody(response, right.body, fault, entry);
  }

  async function sendBody(
    response: ServerResponse,
    right: Uint8Array,
    fault: Fault,
    entry: LoggedRequest,
  ): Promise<void> {
    const body = fault.corrupt ? right.map((byte) => byte ^ 0x55) : right;
    const end = Math.min(body.length, fault.cut ?? Infinity, fault.stall ?? Infinity);
    const piece = fault.trickle?.piece ?? PIECE;
    const started = Date.now();
    if (end === 0) response.flushHeaders();
    for (let at = 0; at < end && !response.destroyed;) {
      const next = Math.min(at + piece, end);
      await new Promise<void>((resolve) => {
        const done = () => (response.off('close', done), resolve());
        response.once('close', done);
        response.write(body.subarray(at, next), done);
      });
      entry.bytes += next - at;
      at = next;
      if (fault.trickle) await sleep(fault.trickle.milliseconds);
      const due = hub.bytesPerSecond ? (1000 * at) / hub.bytesPerSecond - (Date.now() - started) : 0;
      if (due > 2) await sleep(due);
    }
    if (fault.stall !== undefined) return;
    // A moment, so that what was sent is read before the connection is seen to be gone.
    if (fault.cut !== undefined) return void (await sleep(10), response.destroy());
    response.end();
  }

  await hub.reopen();
  return hub;
}
