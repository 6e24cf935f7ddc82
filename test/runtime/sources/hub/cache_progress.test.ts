// The Hub's cache while a file is on its way: progress, an abort, a cache that cannot be written,
// and where it lies.
// Needs: no device.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { chmodSync, existsSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { openModelSource } from '../../../../runtime/sources/open_source.ts';
import { fixtureRepos, formulaBytes, repoOf } from './repos.ts';
import {
  assertBytes,
  assertSound,
  failure,
  readWhole,
  restoreEnvironment,
  setEnvironment,
  stage,
  temporaryFolder,
  treeOf,
} from './support.ts';
import type { DownloadProgress } from '../../../../runtime/files/model_source.ts';
import { text } from './cache_contents.ts';

const test = suite('hub cache progress');

test.after(restoreEnvironment);

test('progress: from above nothing to the total, and says what an earlier try fetched', async () => {
  const bytes = formulaBytes(300_007);
  const { hub, fetch } = await stage({ 'org/name': repoOf({ 'pytorch_model.bin': bytes }) });
  hub.faults = [{ port: 'cdn', method: 'GET', trickle: { piece: 60_000, milliseconds: 120 }, cut: 180_000 }];
  const events: DownloadProgress[] = [];
  await fetch('pytorch_model.bin', { onDownload: (event) => void events.push({ ...event }) });
  assert.ok(events.length >= 2, JSON.stringify(events));
  assert.ok(
    events.every(
      ({ file, total, done }, i) =>
        file === 'pytorch_model.bin' && total === bytes.length && done <= total && done >= (events[i - 1]?.done ?? 0),
    ),
    JSON.stringify(events),
  );
  assert.is(events.at(-1)!.done, bytes.length);
});

/** Bytes of unfinished downloads on disk. */
function partialBytes(cacheDir: string): number {
  if (!existsSync(cacheDir)) return 0;
  const partials = readdirSync(cacheDir, { recursive: true, encoding: 'utf8' }).filter((path) =>
    path.endsWith('.partial'),
  );
  return partials.reduce((sum, path) => sum + statSync(join(cacheDir, path)).size, 0);
}

test('a signal stops at once, leaves what came, and the next try goes on from there', async () => {
  const bytes = formulaBytes(300_007);
  const { hub, cacheDir, fetch } = await stage(
    { 'org/name': repoOf({ 'pytorch_model.bin': bytes }) },
    { HF_HUB_DOWNLOAD_TIMEOUT: '30' },
  );
  hub.faults = [{ port: 'cdn', method: 'GET', stall: 180_000 }];
  const controller = new AbortController();
  const why = new Error('enough');
  let stopped = 0;
  const timer = setInterval(() => {
    // What the server gave may still be on its way: only what is on disk can be kept.
    if (partialBytes(cacheDir) >= 180_000 && !stopped) controller.abort(((stopped = Date.now()), why));
  }, 5);
  const error = await fetch('pytorch_model.bin', { signal: controller.signal }).then(
    () => assert.unreachable(),
    (reason: unknown) => reason,
  );
  clearInterval(timer);
  assert.is(error, why);
  assert.ok(Date.now() - stopped < 1000, `took ${Date.now() - stopped} ms`);
  assertSound(cacheDir);
  const first = hub.bytesGiven();
  assertBytes(await fetch('pytorch_model.bin'), bytes, 'afterwards');
  assert.ok(hub.bytesGiven() <= bytes.length + 60_000, `${first} and then ${hub.bytesGiven() - first} bytes`);
  const aborted = await fetch('pytorch_model.bin', {
    signal: AbortSignal.abort(why),
    cacheDir: temporaryFolder(),
  }).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  assert.is(aborted, why, 'a signal that was aborted before');
});

test('a cache that cannot be written: what is there is used, the rest says what to do', async () => {
  const { cacheDir, fetch } = await stage(fixtureRepos());
  await fetch('config.json');
  const blocked = join(temporaryFolder(), 'file');
  writeFileSync(blocked, '');
  await failure(
    fetch('config.json', { cacheDir: join(blocked, 'cache') }),
    'a file in the way',
    /HF_HUB_CACHE|HF_HOME|cacheDir|cache-dir/,
  );

  const root = process.geteuid?.() === 0;
  if (process.platform === 'win32') return void console.log('\nskip: read-only folders are another thing on Windows');
  const folders = treeOf(cacheDir)
    .filter(({ kind }) => kind === 'folder')
    .map(({ path }) => join(cacheDir, path));
  for (const folder of [...folders, cacheDir]) chmodSync(folder, 0o555);
  chmodSync(dirname(cacheDir), 0o755);
  if (root) process.seteuid!(65534); // root may write anywhere
  try {
    assertBytes(await fetch('config.json'), text('{"model_type": "bark"}\n'), 'read-only');
    await failure(fetch('pytorch_model.bin'), 'read-only', /HF_HUB_CACHE|HF_HOME|cacheDir|cache-dir/);
  } finally {
    if (root) process.seteuid!(0);
    for (const folder of [cacheDir, ...folders]) chmodSync(folder, 0o755);
  }
});

test('where the cache is: option, HF_HUB_CACHE, HF_HOME, XDG_CACHE_HOME, ~', async () => {
  const { hub } = await stage(fixtureRepos());
  const base = temporaryFolder();
  const home = process.env['HOME'];
  const at = (name: string) => join(base, name);
  const cases: [Record<string, string>, string][] = [
    [{ HF_HUB_CACHE: at('a'), HF_HOME: at('b'), XDG_CACHE_HOME: at('c') }, at('a')],
    [{ HF_HOME: at('d'), XDG_CACHE_HOME: at('e') }, at('d/hub')],
    [{ HF_HOME: '', XDG_CACHE_HOME: at('f') }, at('f/huggingface/hub')],
    [{ HF_HOME: '', HOME: at('g') }, at('g/.cache/huggingface/hub')],
    [{ HF_HOME: '~/there', HOME: at('h') }, at('h/there/hub')],
  ];
  mkdirSync(at('g'));
  mkdirSync(at('h'));
  try {
    for (const [variables, folder] of cases) {
      setEnvironment({ HF_ENDPOINT: `${hub.endpoint}/`, ...variables });
      if (variables['HF_HOME'] === '') delete process.env['HF_HOME'];
      await readWhole(await openModelSource('org/name'), 'config.json');
      assert.ok(existsSync(join(folder, 'models--org--name/refs/main')), JSON.stringify(variables));
      process.env['HOME'] = home;
    }
  } finally {
    process.env['HOME'] = home;
  }
});

test.run();
