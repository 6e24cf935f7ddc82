// A cache in a state that nobody wanted: damaged partial files, links that are not possible, the
// same bytes under two names, many files at once, and a Hub that does not answer while someone
// waits.
// Needs: no device.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { appendFileSync, existsSync, lstatSync, readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { commitId, filesOf, fixtureRepos, formulaBytes, repoOf } from './repos.ts';
import { sha256 } from './server.ts';
import {
  assertBytes,
  assertSound,
  failure,
  readWhole,
  restoreEnvironment,
  setEnvironment,
  stage,
  type Stage,
} from './support.ts';
const test = suite('hub repair');
test.after(restoreEnvironment);

const weights = formulaBytes(300_007);
const blobsOf = ({ cacheDir }: Stage) => join(cacheDir, 'models--org--name/blobs');

/** A cache in which half a file lies; gives the partial files. */
async function halfFetched(): Promise<Stage & { partials: string[] }> {
  const made = await stage({ 'org/name': repoOf({ 'pytorch_model.bin': weights }) }, { HF_HUB_DOWNLOAD_TIMEOUT: '30' });
  const controller = new AbortController();
  made.hub.faults = [{ port: 'cdn', method: 'GET', stall: 150_000 }];
  const find = () =>
    (existsSync(blobsOf(made)) ? readdirSync(blobsOf(made)) : []).map((name) => join(blobsOf(made), name));
  const timer = setInterval(() => find().some((path) => lstatSync(path).size >= 150_000) && controller.abort(), 10);
  await made.fetch('pytorch_model.bin', { signal: controller.signal }).then(
    () => assert.unreachable(),
    () => {},
  );
  clearInterval(timer);
  const partials = find();
  assert.is(partials.length, 1, `${partials}`);
  made.hub.log.length = 0;
  return { ...made, partials };
}

const damages: Record<string, (path: string) => void> = {
  'other bytes': (path) =>
    writeFileSync(
      path,
      readFileSync(path).map((byte, i) => (i === 777 ? byte ^ 1 : byte)),
    ),
  'too many bytes': (path) => appendFileSync(path, formulaBytes(400_000, 3)),
  'as many bytes as the file, not its own': (path) => writeFileSync(path, formulaBytes(300_007, 4)),
  'no bytes': (path) => truncateSync(path, 0),
  'fewer bytes than were written': (path) => truncateSync(path, 70_001),
};

for (const [what, damage] of Object.entries(damages)) {
  test(`a partial file of ${what}`, async () => {
    const made = await halfFetched();
    damage(made.partials[0]!);
    assertBytes(await made.fetch('pytorch_model.bin'), weights, what);
    assertSound(made.cacheDir, what);
    assert.equal(readdirSync(blobsOf(made)), [sha256(weights)]);
    assert.ok(made.hub.bytesGiven() <= 2 * weights.length + 1000);
  });
}

test('a partial file that is whole needs no byte more', async () => {
  const made = await halfFetched();
  writeFileSync(made.partials[0]!, weights);
  assertBytes(await made.fetch('pytorch_model.bin'), weights, 'whole');
  assert.equal(made.hub.gets(/blobs/), []);
  assertSound(made.cacheDir);
});

test('a blob of another size is fetched anew', async () => {
  const made = await halfFetched();
  writeFileSync(join(blobsOf(made), sha256(weights)), weights.subarray(0, 1000));
  assertBytes(await made.fetch('pytorch_model.bin'), weights, 'short blob');
  assertSound(made.cacheDir);
});

test('the same bytes under two names at once, and all files at once: each once', async () => {
  const { hub, cacheDir, open } = await stage(fixtureRepos());
  const files = [...hub.repos.get('org/name')!.commits.get(commitId('first'))!];
  const source = await open();
  hub.bytesPerSecond = 20_000;
  await Promise.all(
    [...files, ...files].map(async ([path, { bytes }]) => assertBytes(await readWhole(source, path), bytes, path)),
  );
  const gets = hub.gets(/resolve/).map(({ path }) => path);
  assert.is(gets.length, new Set(gets).size, `${gets}`);
  assert.is(gets.filter((path) => /config|copy/.test(path)).length, 1);
  assert.is(
    hub.bytesGiven() - 'Found'.length,
    files.reduce((sum, [path, { bytes }]) => sum + (path === 'copy.json' ? 0 : bytes.length), 0),
  );
  assertSound(cacheDir);
});

test('links are not possible: files lie in the snapshot itself', async () => {
  const { hub, cacheDir, open, fetch } = await stage(fixtureRepos(), { HF_HUB_DISABLE_SYMLINKS: '1' });
  const files = [...hub.repos.get('org/name')!.commits.get(commitId('first'))!];
  for (const [path, { bytes }] of files) assertBytes(await fetch(path), bytes, path);
  const snapshot = join(cacheDir, 'models--org--name/snapshots', commitId('first'));
  assert.ok(files.every(([path]) => lstatSync(join(snapshot, path)).isFile()));
  const gets = hub.gets().length;
  for (const [path, { bytes }] of files) assertBytes(await fetch(path), bytes, path);
  assert.is(hub.gets().length, gets);
  setEnvironment({ HF_ENDPOINT: hub.endpoint, HF_HUB_OFFLINE: '1' });
  const source = await open();
  for (const [path, { bytes }] of files) assertBytes(await readWhole(source, path), bytes, path);
});

test('a signal ends the wait for a Hub that does not answer', async () => {
  for (const port of ['hub', 'cdn'] as const) {
    const { hub, fetch } = await stage(fixtureRepos(), { HF_HUB_DOWNLOAD_TIMEOUT: '30', HF_HUB_ETAG_TIMEOUT: '30' });
    hub.faults = [{ port, hang: true, times: Infinity }];
    const started = Date.now();
    const reason = await fetch('pytorch_model.bin', { signal: AbortSignal.timeout(100) }).then(
      () => undefined,
      (error: unknown) => error as Error,
    );
    assert.is(reason?.name, 'TimeoutError', port);
    assert.ok(Date.now() - started < 2000, `${port}: took ${Date.now() - started} ms`);
  }
});

test('a signal ends one of two that wait for the same file; the other gets it', async () => {
  const { hub, cacheDir, open } = await stage({ 'org/name': repoOf({ 'pytorch_model.bin': weights }) });
  hub.bytesPerSecond = 600_000;
  const source = await open();
  const [first, second] = await Promise.allSettled([
    readWhole(source, 'pytorch_model.bin', { signal: AbortSignal.timeout(200) }),
    readWhole(source, 'pytorch_model.bin'),
  ]);
  assert.is(first.status, 'rejected');
  assert.is(second.status, 'fulfilled');
  if (second.status === 'fulfilled') assertBytes(second.value, weights, 'the other');
  assert.ok(hub.bytesGiven() <= weights.length + 100_000, `${hub.bytesGiven()} bytes`);
  assertSound(cacheDir);
});

test('a commit that names a file where another has a folder', async () => {
  const { hub, cacheDir, fetch } = await stage({ 'org/name': repoOf({ 'a/b.json': '{}', c: 'file' }) });
  await fetch('a/b.json');
  await fetch('c');
  await failure(fetch('c/d.json'), 'below a file', /c\/d\.json/);
  await failure(fetch('a'), 'a folder', /"a"/);
  hub.repos.get('org/name')!.commits.set(commitId('next'), filesOf({ a: 'now a file', 'c/d.json': '{"d": 1}' }));
  hub.repos.get('org/name')!.refs.set('main', commitId('next'));
  assertBytes(await fetch('a'), new TextEncoder().encode('now a file'), 'a');
  assertBytes(await fetch('c/d.json'), new TextEncoder().encode('{"d": 1}'), 'c/d.json');
  assert.ok(existsSync(join(cacheDir, 'models--org--name/snapshots', commitId('first'), 'a/b.json')));
  assertSound(cacheDir);
});

test.run();
