// Several processes and one cache: killed at any moment, two at once, locks that nobody holds any
// more, and a disk that is full.
// Needs: no device.

import { suite } from 'uvu';
import { buildSync } from 'esbuild';
import * as assert from 'uvu/assert';
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { DownloadError } from '../../../../runtime/base/errors.ts';
import { uniform } from '../../../random.ts';
import { formulaBytes, repoOf } from './repos.ts';
import { sha256, type FakeHub } from './server.ts';
import { assertBytes, assertSound, failure, restoreEnvironment, stage, starts, temporaryFolder } from './support.ts';

const test = suite('hub processes');
test.after(restoreEnvironment);

const weights = formulaBytes(8_000_009);
const SHA = sha256(weights);
const CHILD = join(temporaryFolder(), 'child.mjs');

// One file without tsx starts in a tenth of the time.
test.before(
  () =>
    void buildSync({
      entryPoints: [fileURLToPath(new URL('child.ts', import.meta.url))],
      outfile: CHILD,
      bundle: true,
      platform: 'node',
      format: 'esm',
      target: 'node20',
      logLevel: 'silent',
    }),
);

interface Child {
  /** When it begins to fetch. */
  readonly ready: Promise<void>;
  /** The last line that it printed; undefined for one that was killed. */
  readonly said: Promise<string | undefined>;
  kill(): void;
}

function fetchInChild(cacheDir: string, path = 'pytorch_model.bin'): Child {
  const child = spawn(process.execPath, [CHILD, cacheDir, path], { stdio: ['ignore', 'pipe', 'inherit'] });
  let printed = '';
  const ready = new Promise<void>((resolve) =>
    child.stdout.on('data', (text: Buffer) => ((printed += text), printed.includes('ready\n') && resolve())),
  );
  const said = new Promise<string | undefined>((resolve) =>
    child.on('close', (_, signal) => resolve(signal ? undefined : printed.trim().split('\n').at(-1))),
  );
  return { ready, said, kill: () => void child.kill('SIGKILL') };
}

async function until(what: string, condition: () => boolean): Promise<void> {
  for (const started = Date.now(); !condition(); await sleep(2))
    assert.ok(Date.now() - started < 10_000, `${what}: waited 10 s`);
}

const weightsGiven = (hub: FakeHub): number =>
  hub.log.filter(({ port }) => port === 'cdn').reduce((sum, { bytes }) => sum + bytes, 0);
/**
 * What of the weights lies on the disk. The server cannot tell: megabytes may wait in sockets when
 * a process dies.
 */
function onDisk(cacheDir: string): number {
  const blobs = join(cacheDir, 'models--org--name/blobs');
  return Math.max(
    0,
    ...(existsSync(blobs) ? readdirSync(blobs) : []).map(
      (name) => statSync(join(blobs, name), { throwIfNoEntry: false })?.size ?? 0,
    ),
  );
}

const large = () => ({ 'org/name': repoOf({ 'config.json': '{}', 'pytorch_model.bin': weights }) });

test('killed at ten moments: the eleventh ends it, right and without fetching again', async () => {
  const { hub, cacheDir } = await stage(large());
  hub.bytesPerSecond = 12_000_000;
  const random = uniform(3);
  let disk = 0;
  const begin = async (i: number) => {
    const gets = hub.gets(/blobs/).length;
    const child = fetchInChild(cacheDir);
    await child.ready;
    return {
      child,
      check: () =>
        assert.ok(
          starts(hub, /blobs/)
            .slice(gets)
            .every((start) => start >= disk),
          `${i}: ${disk} bytes were there, asked from ${starts(hub, /blobs/).slice(gets)}`,
        ),
    };
  };
  for (let i = 0; i < 10; i++) {
    const { child, check } = await begin(i);
    const before = weightsGiven(hub);
    // Some at a number of bytes, some at a time: before the first byte, or while it hashes what is
    // there.
    if (i % 3 === 2) await sleep(60 * random());
    else
      await Promise.race([
        until('bytes', () => weightsGiven(hub) >= before + 200_000 + 600_000 * random()),
        child.said,
      ]);
    child.kill();
    await child.said;
    check();
    disk = onDisk(cacheDir);
    assertSound(cacheDir, `kill ${i}`);
  }
  assert.ok(disk > 1_000_000, `hardly anything was kept: ${disk} bytes`);
  const { child, check } = await begin(10);
  assert.is(await child.said, SHA);
  check();
  assertSound(cacheDir);
  assert.ok(
    starts(hub, /blobs/).filter((start) => start > 0).length >= 4,
    `hardly ever taken up: ${starts(hub, /blobs/)}`,
  );
  assert.equal(readdirSync(join(cacheDir, 'models--org--name/blobs')), [SHA], 'what was partial is gone');
  assert.equal(readdirSync(join(cacheDir, '.locks/models--org--name')), [], 'no lock is left');
});

test('two at once: one download; a third asks for nothing', async () => {
  const { hub, cacheDir } = await stage(large());
  hub.bytesPerSecond = 12_000_000;
  const both = [fetchInChild(cacheDir), fetchInChild(cacheDir)];
  assert.equal(await Promise.all(both.map(({ said }) => said)), [SHA, SHA]);
  assert.ok(weightsGiven(hub) <= weights.length + 2 ** 17, `${weightsGiven(hub)} bytes`);
  const gets = hub.gets(/blobs|resolve/).length;
  assert.is(await fetchInChild(cacheDir).said, SHA);
  assert.is(hub.gets(/blobs|resolve/).length, gets);
  assertSound(cacheDir);
});

test('two at once, and the one that downloads is killed: the other goes on from there', async () => {
  const { hub, cacheDir } = await stage(large());
  hub.bytesPerSecond = 10_000_000;
  const first = fetchInChild(cacheDir);
  await until('the first', () => weightsGiven(hub) > 500_000);
  const second = fetchInChild(cacheDir);
  await second.ready;
  await until('the first again', () => weightsGiven(hub) > 3_000_000);
  const disk = onDisk(cacheDir);
  first.kill();
  assert.is(await first.said, undefined);
  assert.is(await second.said, SHA);
  assert.equal(
    starts(hub, /blobs/).map((start) => start >= disk),
    [false, true],
    `${disk} bytes were there, asked from ${starts(hub, /blobs/)}`,
  );
  assertSound(cacheDir);
});

test('two sources in one process: one download', async () => {
  const { hub, cacheDir, fetch } = await stage(large());
  hub.bytesPerSecond = 40_000_000;
  const told: [number, number][][] = [[], []]; // the one that waits is told of the other's bytes, to the end
  const both = told.map((events) =>
    fetch('pytorch_model.bin', { onDownload: ({ done, total }) => events.push([done, total]) }),
  );
  for (const bytes of await Promise.all([...both, fetch('config.json')]))
    if (bytes.length > 2) assertBytes(bytes, weights, 'both');
  for (const events of told) assert.equal(events.at(-1), [weights.length, weights.length]);
  assert.ok(weightsGiven(hub) <= weights.length + 2 ** 17, `${weightsGiven(hub)} bytes`);
  assertSound(cacheDir);
});

test('what lies there of others: their partial files are neither used nor in the way', async () => {
  const { cacheDir, fetch } = await stage(large());
  const blobs = join(cacheDir, 'models--org--name/blobs');
  mkdirSync(blobs, { recursive: true });
  const others = [`${SHA}.incomplete`, `${SHA}.0a1b2c3d.incomplete`];
  for (const name of others) writeFileSync(join(blobs, name), formulaBytes(9_000_000, 5));
  mkdirSync(join(cacheDir, '.locks/models--org--name'), { recursive: true });
  writeFileSync(join(cacheDir, `.locks/models--org--name/${SHA}.lock`), '');
  assertBytes(await fetch('pytorch_model.bin'), weights, 'beside partial files');
  assertSound(cacheDir);
});

test('a file larger than any disk is refused before a byte is fetched', async () => {
  const { hub, cacheDir, fetch } = await stage(large());
  hub.faults = [{ port: 'hub', headers: { 'X-Linked-Size': '1000000000000000' }, times: Infinity }];
  const error = await failure(fetch('pytorch_model.bin'), 'a petabyte', /disk|space|free/i, [DownloadError]);
  assert.match(error.message, /HF_HUB_CACHE|HF_HOME|cacheDir|cache-dir|free/i);
  assert.is(weightsGiven(hub), 0);
  assertSound(cacheDir);
});

test('a disk that fills up in the middle', async () => {
  const disk = temporaryFolder();
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=12m', 'tmpfs', disk], { stdio: 'ignore' });
  } catch {
    return void console.log('\nskip: no small disk can be mounted here');
  }
  try {
    const { hub, fetch } = await stage(large());
    const cacheDir = join(disk, 'cache');
    const filler = join(disk, 'filler');
    hub.bytesPerSecond = 20_000_000;
    const attempt = fetch('pytorch_model.bin', {
      cacheDir,
      onDownload: ({ done }) => {
        if (done > 2_000_000 && !existsSync(filler)) writeFileSync(filler, formulaBytes(8_000_000, 2));
      },
    });
    await failure(attempt, 'full', /space|disk|ENOSPC/i, [DownloadError]);
    rmSync(filler);
    const before = weightsGiven(hub);
    assertBytes(await fetch('pytorch_model.bin', { cacheDir }), weights, 'with space again');
    assert.ok(weightsGiven(hub) - before < 7_000_000, `${weightsGiven(hub) - before} bytes`);
    writeFileSync(filler, formulaBytes(1_000_000, 2));
    await failure(
      fetch('pytorch_model.bin', { cacheDir: join(disk, 'second') }),
      'full from the start',
      /space|free/i,
      [DownloadError],
    );
  } finally {
    execFileSync('umount', ['-l', disk], { stdio: 'ignore' });
  }
});

test.run();
