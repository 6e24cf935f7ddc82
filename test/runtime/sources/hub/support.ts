// What the Hub's tests share: an environment of their own, temporary folders, typed failures, and
// the one question asked after every fault: is everything that lies in the cache what its name
// says?

import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  rmSync,
  statSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import * as assert from 'uvu/assert';
import { DownloadError, InputError, UnsupportedError, WeightsError } from '../../../../runtime/base/errors.ts';
import { timing } from '../../../../runtime/files/retry.ts';
import { openModelSource } from '../../../../runtime/sources/open_source.ts';
import { gitSha1, sha256, startHub, type FakeHub, type Repo } from './server.ts';
import type { ModelSource, OpenOptions } from '../../../../runtime/files/model_source.ts';
import type { HubOptions } from '../../../../runtime/sources/hub/settings.ts';

const OWN = /^(HF_|HUGGING|XDG_CACHE_HOME$)/;
const outside = Object.fromEntries(Object.entries(process.env).filter(([name]) => OWN.test(name)));

Object.assign(timing, { firstDelay: 20, longestDelay: 100 });

/** No setting of whoever runs the tests, then these. */
export function setEnvironment(variables: Record<string, string> = {}): void {
  for (const name of Object.keys(process.env)) if (OWN.test(name)) delete process.env[name];
  Object.assign(process.env, {
    HF_HOME: temporaryFolder(),
    HF_HUB_DOWNLOAD_TIMEOUT: '1',
    HF_HUB_ETAG_TIMEOUT: '1',
    ...variables,
  });
}

/** For the end of a file: what was set before it. */
export function restoreEnvironment(): void {
  for (const name of Object.keys(process.env)) if (OWN.test(name)) delete process.env[name];
  Object.assign(process.env, outside);
}

let base: string | undefined;

/** A folder that goes when the process ends. */
export function temporaryFolder(): string {
  if (base === undefined) {
    const all = (base = mkdtempSync(join(tmpdir(), 'bark-hub-')));
    chmodSync(all, 0o755); // others may look in: cache.test.ts reads as one of them
    process.on('exit', () => rmSync(all, { recursive: true, force: true }));
  }
  return mkdtempSync(join(base, 'f-'));
}

export interface Stage {
  readonly hub: FakeHub;
  readonly cacheDir: string;
  /** Opens org/name with this cache folder. */
  open(options?: HubOptions): Promise<ModelSource>;
  /** Opens org/name and reads one of its files whole. */
  fetch(path: string, options?: HubOptions & OpenOptions): Promise<Uint8Array>;
}

/** A Hub and an empty cache of one test; the environment names that Hub. */
export async function stage(repos: Record<string, Repo>, variables: Record<string, string> = {}): Promise<Stage> {
  const hub = await startHub(repos);
  setEnvironment({ HF_ENDPOINT: hub.endpoint, ...variables });
  const cacheDir = join(temporaryFolder(), 'cache');
  const open = (options?: HubOptions) => openModelSource('org/name', { cacheDir, ...options });
  return {
    hub,
    cacheDir,
    open,
    fetch: async (path, { signal, onDownload, ...options } = {}) =>
      readWhole(await open(options), path, { signal, onDownload }),
  };
}

export async function readWhole(
  source: ModelSource,
  path: string,
  { signal, onDownload }: OpenOptions = {},
): Promise<Uint8Array> {
  const file = await source.open(path, { signal, onDownload });
  try {
    return await file.read(0, file.size);
  } finally {
    await file.close();
  }
}

export function assertBytes(actual: Uint8Array, expected: Uint8Array, label: string): void {
  assert.is(actual.length, expected.length, `${label}: length`);
  assert.ok(Buffer.compare(actual, expected) === 0, `${label}: bytes`);
}

/** The error that a promise ends in; one of ours, of one of these kinds, with something to say. */
export async function failure(
  promise: Promise<unknown>,
  label: string,
  message: RegExp = /./,
  kinds: readonly (abstract new (...given: never[]) => Error)[] = [
    DownloadError,
    WeightsError,
    UnsupportedError,
    InputError,
  ],
): Promise<Error> {
  const error = await promise.then(
    (): never => assert.unreachable(`${label}: got no error`) as never,
    (reason: unknown) => reason as Error,
  );
  assert.ok(
    kinds.some((kind) => error instanceof kind),
    `${label}: got ${error?.name}: ${error?.stack}`,
  );
  assert.match(error.message, message, `${label}: ${error.message}`);
  assert.not.match(error.message, /\bundefined\b|\bNaN\b|\[object/, `${label}: ${error.message}`);
  return error;
}

export interface Entry {
  readonly path: string;
  readonly kind: 'file' | 'folder' | 'link';
  readonly target?: string;
  readonly base64?: string;
}

/** All that lies in a folder, as python_cache.json has it. */
export function treeOf(root: string): Entry[] {
  if (!existsSync(root)) return [];
  const entries = readdirSync(root, { recursive: true, encoding: 'utf8' }).map((path): Entry => {
    const full = join(root, path);
    const stat = lstatSync(full);
    if (stat.isSymbolicLink()) return { path, kind: 'link', target: readlinkSync(full) };
    return stat.isDirectory()
      ? { path, kind: 'folder' }
      : { path, kind: 'file', base64: readFileSync(full).toString('base64') };
  });
  return entries.sort((a, b) => (a.path < b.path ? -1 : 1));
}

/**
 * Every blob hashes to its name, every snapshot's file leads to a blob, every ref names a commit,
 * and nothing lies beside the cache.
 */
export function assertSound(cacheDir: string, label = 'cache'): void {
  assert.equal(
    readdirSync(dirname(cacheDir)).filter((name) => join(dirname(cacheDir), name) !== cacheDir),
    [],
    `${label}: beside the cache`,
  );
  if (!existsSync(cacheDir)) return;
  for (const repo of readdirSync(cacheDir)) {
    assert.match(repo, /^(\.locks|CACHEDIR\.TAG|models--[\w.-]+--[\w.-]+)$/, label);
    if (!repo.startsWith('models--')) continue;
    const at = (...parts: string[]) => join(cacheDir, repo, ...parts);
    const list = (folder: string) =>
      existsSync(at(folder)) ? readdirSync(at(folder), { recursive: true, encoding: 'utf8' }) : [];
    for (const name of list('blobs')) {
      if (!/^([0-9a-f]{40}|[0-9a-f]{64})$/.test(name)) continue; // partials; what they may be called is the client's own affair
      const bytes = readFileSync(at('blobs', name));
      assert.is(name.length === 40 ? gitSha1(bytes) : sha256(bytes), name, `${label}: blob`);
    }
    for (const folder of ['snapshots', '.no_exist'])
      for (const path of list(folder)) assert.match(path, /^[0-9a-f]{40}(\/|$)/, `${label}: ${folder}`);
    for (const path of list('snapshots')) {
      const full = at('snapshots', path);
      if (lstatSync(full).isDirectory()) continue;
      assert.ok(existsSync(full), `${label}: ${path} leads nowhere`);
      assert.is(
        relative(realpathSync(at('blobs')), dirname(realpathSync(full))),
        '',
        `${label}: ${path} leads out of the blobs`,
      );
    }
    for (const path of list('refs'))
      if (statSync(at('refs', path)).isFile())
        assert.match(readFileSync(at('refs', path), 'utf8'), /^[0-9a-f]{40}$/, `${label}: refs/${path}`);
  }
}

/** Where each ranged GET of a path began; 0 for one without a range. */
export const starts = (hub: FakeHub, path?: RegExp): number[] =>
  hub.gets(path).map(({ range }) => Number(/^bytes=(\d+)-/.exec(range ?? 'bytes=0-')![1]));
