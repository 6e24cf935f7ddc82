// The Hub as a page reads it, in Node with a cache of the same interface: ranged reads, kept
// ranges, and everything that may be missing. What only a browser has (CORS, opaque redirects, a
// real quota) is not seen here.
// Needs: no device.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { DownloadError, WeightsError } from '../../../../runtime/base/errors.ts';
import { openHubInBrowser } from '../../../../runtime/sources/hub/browser.ts';
import { commitId, filesOf, fixtureRepos, formulaBytes, repoOf } from './repos.ts';
import { startHub, type FakeHub, type Repo } from './server.ts';
import { assertBytes, failure, readWhole, restoreEnvironment, setEnvironment } from './support.ts';
import type { ModelSource } from '../../../../runtime/files/model_source.ts';
import type { HubOptions } from '../../../../runtime/sources/hub/settings.ts';

const test = suite('hub in a browser');
test.after(restoreEnvironment);

const weights = formulaBytes(300_007);
const text = (value: string) => new TextEncoder().encode(value);

interface Kept {
  readonly headers: [string, string][];
  readonly body: ArrayBuffer;
}

/**
 * As much of CacheStorage as is used; `full` rejects what it is given, `refusing` cannot even be
 * opened.
 */
function fakeCaches(kind: 'good' | 'full' | 'refusing' = 'good'): CacheStorage & { entries: Map<string, Kept> } {
  const entries = new Map<string, Kept>();
  const url = (request: RequestInfo | URL) => new URL(request instanceof Request ? request.url : String(request)).href;
  const cache = {
    async match(request: RequestInfo | URL) {
      const kept = entries.get(url(request));
      return kept && new Response(kept.body.slice(0), { headers: kept.headers });
    },
    async put(request: RequestInfo | URL, response: Response) {
      assert.ok(response.ok && response.status !== 206, 'the Cache API takes no partial answers');
      if (kind === 'full') throw new DOMException('full', 'QuotaExceededError');
      entries.set(url(request), { headers: [...response.headers], body: await response.arrayBuffer() });
    },
    delete: async (request: RequestInfo | URL) => entries.delete(url(request)),
    keys: async () => [...entries.keys()].map((key) => new Request(key)),
  };
  const open = async () => {
    if (kind === 'refusing') throw new DOMException('private window', 'SecurityError');
    return cache as unknown as Cache;
  };
  return { open, entries } as unknown as CacheStorage & { entries: Map<string, Kept> };
}

async function page(
  repos: Record<string, Repo>,
  caches: CacheStorage | 'the page' = fakeCaches(),
): Promise<{ hub: FakeHub; open(options?: HubOptions): Promise<ModelSource> }> {
  const hub = await startHub(repos);
  setEnvironment({ HF_ENDPOINT: hub.endpoint });
  return { hub, open: (options) => openHubInBrowser('org/name', options, ...(caches === 'the page' ? [] : [caches])) };
}

const repos = () => ({
  'org/name': repoOf({
    'config.json': '{"a": 1}\n',
    'sub/é ü.json': '{"b": 2}',
    'empty.txt': '',
    'model.safetensors': weights,
  }),
});
const RANGES: [number, number][] = [
  [0, 100],
  [70_000, 70_001],
  [65_000, 66_000],
  [100_000, 300_007],
  [5, 5],
];

async function readRanges(source: ModelSource): Promise<void> {
  assertBytes(await readWhole(source, 'config.json'), text('{"a": 1}\n'), 'config');
  assertBytes(await readWhole(source, 'sub/é ü.json'), text('{"b": 2}'), 'odd name');
  assertBytes(await readWhole(source, 'empty.txt'), text(''), 'empty');
  assert.is(await source.has('pytorch_model.bin'), false);
  const file = await source.open('model.safetensors');
  assert.is(file.size, weights.length);
  for (const [start, end] of RANGES)
    assertBytes(await file.read(start, end), weights.subarray(start, end), `${start}-${end}`);
  await failure(file.read(300_000, 300_008), 'past the end', /300007/, [WeightsError]);
}

test('ranges are read and kept: the second load needs one question, and offline none', async () => {
  const { hub, open } = await page(repos());
  await readRanges(await open());
  const given = hub.bytesGiven();
  assert.ok(given < 2 ** 16 + 202_000, `${given} bytes`);
  hub.log.length = 0;
  await readRanges(await open());
  assert.equal(hub.gets(/resolve|blobs/), []);
  assert.ok(hub.log.length <= 1);
  hub.log.length = 0;
  await readRanges(await open({ localFilesOnly: true }));
  const local = await open({ localFilesOnly: true });
  await failure((await local.open('model.safetensors')).read(80_000, 80_100), 'not kept', /localFilesOnly|network/, [
    DownloadError,
  ]);
  await failure(local.open('none.json'), 'not kept', /none\.json/, [DownloadError, WeightsError]);
  assert.equal(hub.log, []);
  await hub.close();
  await readRanges(await open());
  await hub.reopen();
});

test('a new commit is seen, and the old one makes room; a commit by name stays', async () => {
  const caches = fakeCaches();
  const { hub, open } = await page(fixtureRepos(), caches);
  assertBytes(await readWhole(await open(), 'config.json'), text('{"model_type": "bark"}\n'), 'first');
  assert.match(
    new TextDecoder().decode(await readWhole(await open({ revision: 'refs/pr/5' }), 'config.json')),
    /"pr": 5/,
  );
  const pinned = await open();
  assertBytes(await readWhole(pinned, 'config.json'), text('{"model_type": "bark"}\n'), 'first');
  hub.repos.get('org/name')!.commits.set(commitId('next'), filesOf({ 'config.json': '{"next": 1}' }));
  hub.repos.get('org/name')!.refs.set('main', commitId('next'));
  assertBytes(await readWhole(pinned, 'copy.json'), text('{"model_type": "bark"}\n'), 'of one commit');
  assertBytes(await readWhole(await open(), 'config.json'), text('{"next": 1}'), 'next');
  assert.equal(
    [...caches.entries.keys()].filter((key) => key.includes(commitId('first'))),
    [],
  );
  assertBytes(
    await readWhole(await open({ revision: commitId('first') }), 'config.json'),
    text('{"model_type": "bark"}\n'),
    'by name',
  );
});

test('no cache, one that refuses, one that is full: fetched each time', async () => {
  const check = async (caches: CacheStorage | 'the page') => {
    const { hub, open } = await page(repos(), caches);
    await readRanges(await open());
    const once = hub.gets(/blobs/).length;
    await readRanges(await open());
    assert.is(hub.gets(/blobs/).length, 2 * once);
  };
  for (const caches of ['the page', fakeCaches('refusing'), fakeCaches('full')] as const) await check(caches);
  // A frame with a sandbox: even to look is an error.
  const own = Object.getOwnPropertyDescriptor(globalThis, 'caches');
  Object.defineProperty(globalThis, 'caches', {
    configurable: true,
    get: () => {
      throw new DOMException('sandboxed', 'SecurityError');
    },
  });
  try {
    await check('the page');
  } finally {
    if (own) Object.defineProperty(globalThis, 'caches', own);
    else Reflect.deleteProperty(globalThis, 'caches');
  }
});

test('little quota: nothing is kept beyond it', async () => {
  const caches = fakeCaches();
  const { open } = await page(repos(), caches);
  const before = Object.getOwnPropertyDescriptor(globalThis, 'navigator');
  const usage = () => [...caches.entries.values()].reduce((sum, { body }) => sum + body.byteLength, 0);
  Object.defineProperty(globalThis, 'navigator', {
    configurable: true,
    value: { storage: { estimate: async () => ({ quota: 100_000, usage: usage() }) } },
  });
  try {
    await readRanges(await open());
    await readRanges(await open());
    assert.ok(usage() <= 100_000 && usage() > 0, `${usage()}`);
  } finally {
    if (before) Object.defineProperty(globalThis, 'navigator', before);
    else delete (globalThis as { navigator?: unknown }).navigator;
  }
});

test('faults: right in the end, or a typed error and right afterwards', async () => {
  const passing = [
    { port: 'cdn', cut: 0 },
    { port: 'cdn', cut: 1000 },
    { port: 'hub', status: 503 },
    { port: 'cdn', status: 502 },
    { port: 'cdn', status: 403 },
    { port: 'hub', status: 429, headers: { 'Retry-After': '0' } },
  ] as const;
  for (const fault of passing) {
    const { hub, open } = await page(repos());
    const source = await open();
    hub.faults = [{ ...fault }];
    await readRanges(source);
    assert.is(hub.faults[0]!.times, 0, JSON.stringify(fault));
  }
  const lasting = [
    { port: 'cdn', ignoreRange: true, length: 40_000_000 },
    { port: 'cdn', headers: { 'Content-Range': 'bytes 1-2/3' } },
    { port: 'cdn', status: 404 },
    { port: 'hub', status: 500 },
    { status: 200, headers: { 'Content-Type': 'text/html' }, body: '<html>Log in</html>' },
  ] as const;
  for (const fault of lasting) {
    const { hub, open } = await page(repos());
    hub.faults = [{ ...fault, times: Infinity }];
    await failure(
      open().then((source) => source.open('model.safetensors')),
      JSON.stringify(fault),
      /org\/name/,
    );
    hub.faults = [];
    await readRanges(await open());
  }
});

test('a Hub that is out of order, or a login page in its place: the cache does', async () => {
  const { hub, open } = await page(repos());
  await readRanges(await open());
  for (const fault of [
    { status: 503 },
    { status: 200, headers: { 'Content-Type': 'text/html' }, body: '<html>Log in</html>' },
    { cut: 0 },
  ]) {
    hub.faults = [{ ...fault, times: Infinity }];
    await readRanges(await open());
  }
});

test('a Hub that does not answer: the cache does, or an error', async () => {
  const { hub, open } = await page(repos());
  await readRanges(await open());
  hub.faults = [{ hang: true, times: Infinity }];
  process.env['HF_HUB_ETAG_TIMEOUT'] = '0.3';
  process.env['HF_HUB_DOWNLOAD_TIMEOUT'] = '0.3';
  const started = Date.now();
  await readRanges(await open());
  await failure(
    open({ revision: 'v2' }).then((source) => source.open('config.json')),
    'no answer',
    /org\/name.*network/is,
    [DownloadError],
  );
  assert.ok(Date.now() - started < 5000, `took ${Date.now() - started} ms`);
  await hub.close();
});

test('no such repository, a gated one; the token stays with the Hub; signals', async () => {
  const { hub, open } = await page({ 'org/name': { ...repos()['org/name'], gatedTo: 'hf_good' } });
  await failure(
    open().then((source) => source.open('config.json')),
    'gated',
    /org\/name.*(gated|access|terms)/is,
    [DownloadError],
  );
  await readRanges(await open({ token: 'hf_good' }));
  for (const { authorization, port, status } of hub.log)
    if (status < 400) assert.is(authorization, port === 'hub' ? 'Bearer hf_good' : undefined);
  hub.repos.clear();
  await failure(
    open({ revision: 'v2' }).then((source) => source.open('config.json')),
    'none',
    /org\/name.*(spell|private|token)/is,
    [DownloadError],
  );
  hub.faults = [{ hang: true, times: Infinity }];
  const why = new Error('enough');
  const controller = new AbortController();
  setTimeout(() => controller.abort(why), 50);
  const source = await open({ revision: 'v3' });
  assert.is(
    await source.open('config.json', { signal: controller.signal }).then(
      () => undefined,
      (reason: unknown) => reason,
    ),
    why,
  );
  for (const path of ['../x', '/etc/passwd', 'a\\b']) await failure(source.open(path), path, /path/, [WeightsError]);
  await hub.close();
});

test.run();
