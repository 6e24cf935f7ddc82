// Without a network: by HF_HUB_OFFLINE, by localFilesOnly, and because the Hub does not answer.
// Needs: no device.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DownloadError, WeightsError } from '../../../../runtime/base/errors.ts';
import { whyMissing } from '../../../../runtime/files/read.ts';
import { openModelSource } from '../../../../runtime/sources/open_source.ts';
import { commitId, fixtureRepos, formulaBytes } from './repos.ts';
import {
  assertBytes,
  assertSound,
  failure,
  readWhole,
  restoreEnvironment,
  setEnvironment,
  stage,
  temporaryFolder,
  type Stage,
} from './support.ts';
const test = suite('hub offline');
test.after(restoreEnvironment);

const weights = formulaBytes(3001);

async function filled(): Promise<Stage> {
  const made = await stage(fixtureRepos());
  const source = await made.open();
  assert.is(await source.has('model.safetensors'), false);
  for (const path of ['config.json', 'pytorch_model.bin']) await readWhole(source, path);
  await made.fetch('config.json', { revision: 'refs/pr/5' });
  made.hub.log.length = 0;
  return made;
}

for (const value of ['1', 'ON', 'yes', 'True']) {
  test(`HF_HUB_OFFLINE=${value}: the cache alone, no request`, async () => {
    const { hub, cacheDir, open, fetch } = await filled();
    setEnvironment({ HF_ENDPOINT: hub.endpoint, HF_HUB_OFFLINE: value });
    const source = await open();
    assert.is(await source.has('model.safetensors'), false);
    assert.is(await source.has('pytorch_model.bin'), true);
    assertBytes(await readWhole(source, 'pytorch_model.bin'), weights, 'offline');
    assert.match(new TextDecoder().decode(await fetch('config.json', { revision: 'refs/pr/5' })), /"pr": 5/);
    assertBytes(await fetch('pytorch_model.bin', { revision: commitId('first') }), weights, 'by commit');
    await failure(source.open('copy.json'), 'not fetched', /copy\.json/, [DownloadError, WeightsError]);
    await failure(source.open('copy.json'), 'not fetched', /HF_HUB_OFFLINE|offline|network/i);
    await failure(fetch('config.json', { revision: 'v1.0' }), 'ref not fetched', /v1\.0/);
    await failure(fetch('config.json', { cacheDir: temporaryFolder() }), 'empty cache', /org\/name/);
    assert.equal(hub.log, []);
    assertSound(cacheDir);
  });
}

test('localFilesOnly: the same', async () => {
  const { hub, open } = await filled();
  const source = await open({ localFilesOnly: true });
  assertBytes(await readWhole(source, 'pytorch_model.bin'), weights, 'local');
  await failure(source.open('copy.json'), 'not fetched', /copy\.json/);
  await failure(
    open({ localFilesOnly: true, cacheDir: temporaryFolder() }).then((empty) => empty.open('config.json')),
    'empty cache',
    /org\/name.*(offline|network|localFilesOnly)/is,
  );
  assert.equal(hub.log, []);
});

test('HF_HUB_OFFLINE=0 is online', async () => {
  const { hub, fetch } = await filled();
  setEnvironment({ HF_ENDPOINT: hub.endpoint, HF_HUB_OFFLINE: '0' });
  await fetch('copy.json');
  assert.ok(hub.log.length > 0);
});

test('nobody answers: what the cache holds is used, what it lacks names itself', async () => {
  const { hub, cacheDir, open, fetch } = await filled();
  await hub.close();
  const started = Date.now();
  const source = await open();
  assertBytes(await readWhole(source, 'config.json'), new TextEncoder().encode('{"model_type": "bark"}\n'), 'down');
  assertBytes(await readWhole(source, 'pytorch_model.bin'), weights, 'down');
  assert.is(await source.has('model.safetensors'), false);
  assert.ok(Date.now() - started < 4000, `took ${Date.now() - started} ms`);
  await failure(fetch('copy.json'), 'down', /copy\.json/, [DownloadError]);
  await failure(
    fetch('config.json', { cacheDir: temporaryFolder() }),
    'down, empty cache',
    /org\/name.*network|network.*org\/name/is,
    [DownloadError],
  );
  assertSound(cacheDir);
  await hub.reopen();
  assertBytes(await fetch('copy.json'), new TextEncoder().encode('{"model_type": "bark"}\n'), 'up again');
});

test('the Hub is out of order, or shows a page of its own: what the cache holds is used', async () => {
  const { hub, fetch } = await filled();
  for (const fault of [
    { status: 503 },
    { status: 500 },
    { status: 429, headers: { 'Retry-After': '3600' } },
    { status: 200, headers: { 'Content-Type': 'text/html' }, body: '<html>Log in</html>' },
    { cut: 0 },
    { hang: true },
  ]) {
    hub.faults = [{ ...fault, times: Infinity }];
    const started = Date.now();
    assertBytes(await fetch('pytorch_model.bin'), weights, JSON.stringify(fault));
    assert.ok(Date.now() - started < 3000, `${JSON.stringify(fault)} took ${Date.now() - started} ms`);
  }
  hub.faults = [{ status: 429, headers: { 'Retry-After': '3600' }, times: Infinity }];
  await failure(fetch('copy.json'), 'an hour', /429|rate|busy|3600|too many/i, [DownloadError]);
});

test('a model of which the cache holds a part only: what is missing is the network, not the file', async () => {
  const { hub, open } = await filled();
  await hub.close();
  const absent = new WeightsError('no copy');
  assert.match(
    (await whyMissing(await open({ localFilesOnly: true }), 'copy.json', absent)).message,
    /got no file "copy\.json" in .*the network is not to be used/,
  );
  assert.match((await whyMissing(await open(), 'copy.json', absent)).message, /got no answer from/);
  assert.is(await whyMissing(await openModelSource(new Map()), 'copy.json', absent), absent);
});

test('refs alone, of someone who wrote a line break behind the commit; and refs of nonsense', async () => {
  const { hub, cacheDir, fetch } = await filled();
  const ref = join(cacheDir, 'models--org--name/refs/main');
  setEnvironment({ HF_ENDPOINT: hub.endpoint, HF_HUB_OFFLINE: '1' });
  writeFileSync(ref, `${commitId('first')}\n`);
  assertBytes(await fetch('pytorch_model.bin'), weights, 'line break');
  for (const nonsense of ['', '..', '../../../../etc', 'x'.repeat(100_000), 'deadbeef']) {
    writeFileSync(ref, nonsense);
    await failure(fetch('config.json'), nonsense.slice(0, 20), /org\/name/);
  }
});

test('a link whose blob someone deleted is fetched again, and offline says so', async () => {
  const { hub, cacheDir, fetch } = await filled();
  rmSync(join(cacheDir, 'models--org--name/blobs'), { recursive: true });
  setEnvironment({ HF_ENDPOINT: hub.endpoint, HF_HUB_OFFLINE: '1' });
  await failure(fetch('pytorch_model.bin'), 'dangling', /pytorch_model\.bin/);
  setEnvironment({ HF_ENDPOINT: hub.endpoint });
  assertBytes(await fetch('pytorch_model.bin'), weights, 'again');
  assertBytes(await fetch('pytorch_model.bin', { revision: commitId('first') }), weights, 'again');
});

test.run();
