// The lock between processes: never two holders, waiting that ends by a signal or by what was
// waited for, and what dead holders leave.
// Needs: no device.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { takeLock } from '../../../../runtime/host/lock.ts';
import { temporaryFolder } from './support.ts';

const test = suite('hub lock');

test('eight contenders: one at a time, and all of them once', async () => {
  const folder = join(temporaryFolder(), 'deep', 'locks');
  let holders = 0;
  let taken = 0;
  await Promise.all(
    Array.from({ length: 8 }, async () => {
      const lock = await takeLock(folder, 'blob');
      assert.is(++holders, 1);
      assert.ok(await lock!.isHeld());
      await sleep(5);
      assert.is(holders--, 1);
      taken++;
      await lock!.release();
    }),
  );
  assert.is(taken, 8);
  assert.equal(readdirSync(folder), [], 'nothing is left');
});

test('locks of other names do not meet, also where one begins like the other', async () => {
  const folder = temporaryFolder();
  const locks = await Promise.all(['a', 'a.b', 'ab', 'a.0123456789abcdef'].map((name) => takeLock(folder, name)));
  assert.ok(locks.every(Boolean));
  for (const lock of locks) await lock!.release();
});

test('waiting ends with the signal, or once it is pointless', async () => {
  const folder = temporaryFolder();
  const lock = await takeLock(folder, 'blob');
  const why = new Error('enough');
  const controller = new AbortController();
  const waiting = takeLock(folder, 'blob', { signal: controller.signal });
  setTimeout(() => controller.abort(why), 30);
  assert.is(
    await waiting.then(
      () => undefined,
      (reason: unknown) => reason,
    ),
    why,
  );
  let done = false;
  setTimeout(() => (done = true), 30);
  assert.is(await takeLock(folder, 'blob', { until: async () => done }), undefined);
  assert.ok(await lock!.isHeld());
  await lock!.release();
  assert.equal(readdirSync(folder), []);
});

test('a holder whose process is gone is forgotten at once; one of nonsense is not taken for dead', async () => {
  const folder = temporaryFolder();
  const lock = await takeLock(folder, 'blob');
  const [own] = readdirSync(folder);
  const text = readFileSync(join(folder, own!), 'utf8');
  await lock!.release();
  const { pid } = spawnSync(process.execPath, ['--version']);
  writeFileSync(join(folder, 'blob.0123456789abcdef.lock'), text.replace(String(process.pid), String(pid)));
  const started = Date.now();
  const next = await takeLock(folder, 'blob');
  assert.ok(Date.now() - started < 1000);
  await next!.release();
  assert.equal(readdirSync(folder), []);
  writeFileSync(join(folder, 'blob.0123456789abcdef.lock'), 'who knows');
  const late = await takeLock(folder, 'blob', { signal: AbortSignal.timeout(200) }).then(
    () => 'taken',
    () => 'waited',
  );
  assert.is(late, 'waited');
});

test.run();
