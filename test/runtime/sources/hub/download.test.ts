// A Hub that fails: whatever it does, the bytes are right in the end or the error is a typed one,
// nothing wrong stays in the cache, and what was fetched is not fetched again.
// Needs: no device.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { rmSync } from 'node:fs';
import { DownloadError } from '../../../../runtime/base/errors.ts';
import { commitId, formulaBytes, repoOf } from './repos.ts';
import type { FakeHub } from './server.ts';
import { assertBytes, assertSound, failure, readWhole, restoreEnvironment, stage, starts } from './support.ts';
import type { Fault } from './answers.ts';

const test = suite('hub downloads');
test.after(restoreEnvironment);

const weights = formulaBytes(300_007);
const config = '{"model_type": "bark", "note": "ünïcode"}\n'.repeat(50);
const CONFIG = new TextEncoder().encode(config);
const repos = () => ({ 'org/name': repoOf({ 'config.json': config, 'pytorch_model.bin': weights }) });
const SLACK = 40_000; // bytes a broken connection may lose: two pieces of the server's, and headers

/** Faults that a client overcomes. `extra`: bytes that it cannot help fetching twice. */
const overcome: { what: string; faults: (hub: FakeHub) => Fault[]; extra?: number; file?: 'config.json' }[] = [
  { what: 'a cut connection', faults: () => [{ port: 'cdn', method: 'GET', cut: 100_000 }] },
  {
    what: 'three cuts',
    faults: () => [
      { port: 'cdn', cut: 90_000 },
      { port: 'cdn', cut: 50_001 },
      { port: 'cdn', cut: 1 },
    ],
    extra: 3 * SLACK,
  },
  { what: 'a cut at the last byte', faults: () => [{ port: 'cdn', method: 'GET', cut: weights.length - 1 }] },
  {
    what: 'connections lost before an answer',
    faults: () => [
      { port: 'hub', cut: 0 },
      { port: 'cdn', cut: 0 },
    ],
  },
  {
    what: '503 from both ports',
    faults: () => [
      { port: 'hub', status: 503 },
      { port: 'cdn', status: 503 },
    ],
  },
  {
    what: '500, 502, 504',
    faults: () => [
      { port: 'hub', status: 500 },
      { port: 'cdn', status: 502 },
      { port: 'cdn', status: 504 },
    ],
  },
  { what: 'a stall', faults: () => [{ port: 'cdn', method: 'GET', stall: 120_000 }] },
  { what: 'a stall before the first byte', faults: () => [{ port: 'cdn', method: 'GET', stall: 0 }] },
  {
    what: 'no answer',
    faults: () => [
      { port: 'hub', hang: true },
      { port: 'cdn', hang: true },
    ],
  },
  {
    what: 'no lengths',
    faults: () => [{ port: 'hub', path: /config/, headers: { 'Content-Length': undefined }, times: 2 }],
    file: 'config.json',
  },
  {
    what: 'no lengths, and a cut',
    faults: () => [
      { port: 'hub', method: 'HEAD', headers: { 'Content-Length': undefined } },
      { port: 'hub', method: 'GET', headers: { 'Content-Length': undefined }, cut: 700 },
    ],
    file: 'config.json',
  },
  {
    what: 'a slow trickle',
    faults: () => [{ port: 'cdn', method: 'GET', trickle: { piece: 30_011, milliseconds: 40 } }],
  },
  {
    what: 'a link that expires in mid-download',
    faults: (hub) => [{ port: 'cdn', method: 'GET', cut: 150_000, then: () => setTimeout(hub.expireLinks, 5) }],
  },
  {
    what: 'a link that expired before its use',
    faults: (hub) => [{ port: 'hub', path: /\.bin$/, then: () => hub.expireLinks() }],
  },
  {
    what: 'a cut, then a server that ignores ranges',
    faults: () => [
      { port: 'cdn', method: 'GET', cut: 100_000 },
      { port: 'cdn', method: 'GET', ignoreRange: true },
    ],
    extra: 100_000 + SLACK,
  },
  {
    what: 'wrong bytes once',
    faults: () => [{ port: 'cdn', method: 'GET', corrupt: true }],
    extra: weights.length + 1000,
  },
  {
    what: 'a small file cut',
    faults: () => [{ port: 'hub', method: 'GET', path: /config/, cut: 700 }],
    file: 'config.json',
    extra: 1000,
  },
  {
    what: 'a small file of wrong bytes once',
    faults: () => [{ port: 'hub', method: 'GET', path: /config/, corrupt: true }],
    file: 'config.json',
    extra: CONFIG.length + 1000,
  },
];

for (const { what, faults, extra = SLACK, file = 'pytorch_model.bin' } of overcome) {
  test(`${what}: right in the end`, async () => {
    const { hub, cacheDir, fetch } = await stage(repos(), {
      HF_HUB_DOWNLOAD_TIMEOUT: '0.5',
      HF_HUB_ETAG_TIMEOUT: '0.5',
    });
    hub.faults = faults(hub);
    const expected = file === 'config.json' ? CONFIG : weights;
    assertBytes(await fetch(file), expected, what);
    assert.ok(
      hub.faults.every(({ times }) => times === 0),
      `${what}: a fault was never met: ${JSON.stringify(hub.log)}`,
    );
    assertSound(cacheDir, what);
    const given = hub.gets().reduce((sum, { bytes }) => sum + bytes, 0);
    assert.ok(
      given <= expected.length + extra,
      `${what}: ${given} bytes for ${expected.length}: starts ${starts(hub)}`,
    );
    const before = hub.gets().length;
    assertBytes(await fetch(file), expected, what);
    assert.is(hub.gets().length, before, `${what}: fetched again`);
  });
}

test('429: waits as long as Retry-After says', async () => {
  const { hub, cacheDir, fetch } = await stage(repos());
  for (const port of ['hub', 'cdn'] as const) {
    const started = Date.now();
    hub.faults = [
      { port, status: 429, headers: { 'Retry-After': port === 'hub' ? '1' : new Date(started + 2000).toUTCString() } },
    ];
    assertBytes(await fetch('pytorch_model.bin'), weights, port);
    assert.ok(Date.now() - started >= 900, `${port}: came again after ${Date.now() - started} ms`);
    assertSound(cacheDir);
    rmSync(cacheDir, { recursive: true });
  }
  assert.is(hub.log.filter(({ status }) => status === 429).length, 2);
});

/** Faults that stay as long as they stay; the client may overcome them or not. */
const lasting: { what: string; fault: Fault; path?: string; message?: RegExp }[] = [
  { what: 'wrong bytes', fault: { port: 'cdn', method: 'GET', corrupt: true }, message: /sha-?256|hash|checksum/i },
  {
    what: 'wrong bytes of a small file',
    fault: { port: 'hub', method: 'GET', corrupt: true },
    path: 'config.json',
    message: /sha-?1|hash|checksum/i,
  },
  { what: 'a shorter file', fault: { port: 'cdn', method: 'GET', length: 200_000 } },
  { what: 'a longer file', fault: { port: 'cdn', method: 'GET', length: 400_000 } },
  { what: 'an empty file', fault: { port: 'cdn', method: 'GET', length: 0 } },
  { what: 'a small file, shorter', fault: { port: 'hub', length: 100 }, path: 'config.json' },
  { what: 'a small file, longer', fault: { port: 'hub', length: 9999 }, path: 'config.json' },
  { what: 'X-Linked-Size too small', fault: { port: 'hub', headers: { 'X-Linked-Size': '1000' } } },
  { what: 'X-Linked-Size too large', fault: { port: 'hub', headers: { 'X-Linked-Size': '300008' } } },
  {
    what: 'a page of a captive portal',
    fault: { status: 200, headers: { 'Content-Type': 'text/html' }, body: '<html>Please log in</html>' },
    path: 'config.json',
  },
  {
    what: 'a page instead of weights',
    fault: { port: 'cdn', status: 200, headers: { 'Content-Type': 'text/html' }, body: '<html>Sorry</html>' },
  },
  {
    what: 'a redirect to itself',
    fault: { port: 'hub', status: 302, headers: { Location: '/org/name/resolve/main/pytorch_model.bin' } },
  },
  { what: 'a redirect to a file', fault: { port: 'hub', status: 302, headers: { Location: 'file:///etc/hostname' } } },
  { what: 'a redirect to nowhere', fault: { port: 'hub', status: 302, headers: { Location: 'http://127.0.0.1:1/x' } } },
  { what: '404 of the store', fault: { port: 'cdn', status: 404 } },
  { what: '403 of the store for ever', fault: { port: 'cdn', status: 403 } },
  { what: '418', fault: { port: 'hub', status: 418 }, message: /418/ },
];

for (const { what, fault, path = 'pytorch_model.bin', message = /org\/name/ } of lasting) {
  test(`${what}: a typed error, and right when the Hub is`, async () => {
    const { hub, cacheDir, fetch } = await stage(repos());
    hub.faults = [{ ...fault, times: Infinity }];
    const started = Date.now();
    await failure(fetch(path), what, message, [DownloadError]);
    assert.ok(Date.now() - started < 5000, `${what}: took ${Date.now() - started} ms`);
    assert.ok(hub.log.length < 40, `${what}: ${hub.log.length} requests`);
    assertSound(cacheDir, what);
    hub.faults = [];
    assertBytes(await fetch(path), path === 'config.json' ? CONFIG : weights, what);
    assertSound(cacheDir, what);
  });
}

test('headers that would leave the cache, or the numbers', async () => {
  const bad = [
    { 'X-Linked-Etag': '"../../../evil"' },
    { 'X-Linked-Etag': '"/tmp/evil"' },
    { 'X-Linked-Etag': '".."' },
    { 'X-Linked-Etag': '""' },
    { 'X-Linked-Etag': '"a\\b"' },
    { 'X-Linked-Etag': `"${'a'.repeat(5000)}"` },
    { 'X-Repo-Commit': '..' },
    { 'X-Repo-Commit': '../../evil' },
    { 'X-Repo-Commit': '' },
    { 'X-Repo-Commit': undefined },
    { 'X-Repo-Commit': 'main' },
    { 'X-Linked-Size': '-1' },
    { 'X-Linked-Size': '1e99' },
    { 'X-Linked-Size': 'many' },
    { 'X-Linked-Size': '9007199254740993' },
  ];
  for (const headers of bad) {
    const { hub, cacheDir, open, fetch } = await stage(repos());
    hub.faults = [{ port: 'hub', headers, times: Infinity }];
    const label = JSON.stringify(headers).slice(0, 80);
    const source = await open();
    await source.has('none.json').catch((error: unknown) => failure(Promise.reject(error), label));
    await source.open('x/y/z.json').catch((error: unknown) => failure(Promise.reject(error), label));
    assertSound(cacheDir, label);
    const bytes = await fetch('pytorch_model.bin').catch((error: unknown) => failure(Promise.reject(error), label));
    if (bytes instanceof Uint8Array) assertBytes(bytes, weights, label);
    assertSound(cacheDir, label);
    hub.faults = [];
    assertBytes(await fetch('pytorch_model.bin'), weights, label);
  }
  for (const ETag of ['"../../../evil"', '"."', undefined, 'W/"../x"']) {
    const { hub, cacheDir, fetch } = await stage(repos());
    hub.faults = [{ port: 'hub', headers: { ETag }, times: Infinity }];
    await fetch('config.json').catch((error: unknown) => failure(Promise.reject(error), String(ETag)));
    assertSound(cacheDir, String(ETag));
  }
});

test('a wrong Content-Range is not written down', async () => {
  for (const range of [
    'bytes 0-9/300007',
    'bytes 100000-300006/400000',
    'bytes 99999-300006/300007',
    'nonsense',
    undefined,
  ]) {
    const { hub, cacheDir, fetch } = await stage(repos());
    hub.faults = [
      { port: 'cdn', method: 'GET', cut: 100_000 },
      { port: 'cdn', method: 'GET', headers: { 'Content-Range': range } },
    ];
    const bytes = await fetch('pytorch_model.bin').catch((error: unknown) =>
      failure(Promise.reject(error), String(range), /./, [DownloadError]),
    );
    if (bytes instanceof Uint8Array) assertBytes(bytes, weights, String(range));
    assertSound(cacheDir, String(range));
    hub.faults = [];
    assertBytes(await fetch('pytorch_model.bin'), weights, String(range));
  }
});

test('the repository moves on between two files, and in the middle of one: all of one commit', async () => {
  const { hub, cacheDir, open, fetch } = await stage({
    'org/name': repoOf({ 'config.json': config, 'pytorch_model.bin': weights, 'third.json': '3' }),
  });
  const source = await open();
  assertBytes(await readWhole(source, 'config.json'), CONFIG, 'first file');
  const repo = hub.repos.get('org/name')!;
  const next = repoOf({ 'config.json': '{"new": true}', 'pytorch_model.bin': formulaBytes(200_003, 9) }, 'second');
  repo.commits.set(commitId('second'), next.commits.get(commitId('second'))!);
  hub.faults = [{ port: 'cdn', method: 'GET', cut: 100_000, then: () => repo.refs.set('main', commitId('second')) }];
  assertBytes(await readWhole(source, 'pytorch_model.bin'), weights, 'second file, of the first commit');
  assertBytes(await readWhole(source, 'third.json'), new TextEncoder().encode('3'), 'a file that is no more');
  assertSound(cacheDir);
  assertBytes(
    await fetch('config.json'),
    new TextEncoder().encode('{"new": true}'),
    'a new source sees the new commit',
  );
  assertBytes(await fetch('pytorch_model.bin', { revision: commitId('first') }), weights, 'the first one by its name');
  assertBytes(await fetch('pytorch_model.bin'), formulaBytes(200_003, 9), 'the new weights');
  assertSound(cacheDir);
});

test.run();
