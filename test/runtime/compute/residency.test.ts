// Weights that come and go, over a device that only keeps book of owners.
// Needs: no device.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Device } from '../../../runtime/compute/device.ts';
import type { Owner } from '../../../runtime/compute/ledger.ts';
import { Resident, type LoadProgress } from '../../../runtime/compute/residency.ts';

const test = suite('resident');

/** Loads wait until they are let go. */
function setUp() {
  const held = new Set<Owner>();
  const waiting: { done: () => void; fail: (error: Error) => void }[] = [];
  const device = { destroyOwned: (owner: Owner) => void held.delete(owner) } as unknown as Device;
  const resident = new Resident(device, 'weights', (owner: Owner, { signal }: LoadProgress) => {
    held.add(owner);
    return new Promise<string>((resolve, reject) => {
      waiting.push({ done: () => resolve('loaded'), fail: reject });
      signal?.addEventListener('abort', () => reject(signal.reason as Error));
    });
  });
  return { held, waiting, resident };
}
const turn = () => new Promise((resolve) => setTimeout(resolve));

test('is loaded once for all who ask at the same time', async () => {
  const { held, waiting, resident } = setUp();
  const all = Promise.all([
    resident.use(async (value) => value),
    resident.use(async (value) => value),
    resident.upload(),
  ]);
  await turn();
  assert.is(waiting.length, 1);
  waiting[0]!.done();
  assert.equal(await all, ['loaded', 'loaded', undefined]);
  assert.is(held.size, 1);
  resident.unload();
  assert.is(held.size, 0);
});

test('stays until the last user has ended, and comes anew for the next', async () => {
  const { held, waiting, resident } = setUp();
  let end!: () => void;
  const running = resident.use(() => new Promise<void>((resolve) => (end = resolve)));
  waiting[0]!.done();
  await turn();
  resident.unload();
  assert.is(held.size, 1, 'still in use');
  const next = resident.use(async (value) => value);
  assert.is(waiting.length, 2, 'another copy');
  end();
  await running;
  assert.is(held.size, 1, 'the old one is gone');
  waiting[1]!.done();
  assert.is(await next, 'loaded');
  resident.unload();
  assert.is(held.size, 0);
});

test('one call that is aborted does not take the others with it', async () => {
  const { held, waiting, resident } = setUp();
  const controller = new AbortController();
  const aborted = resident.upload({ signal: controller.signal });
  const other = resident.use(async (value) => value);
  controller.abort(new Error('enough'));
  await aborted.then(
    () => assert.unreachable(),
    (error: Error) => assert.is(error.message, 'enough'),
  );
  await turn();
  assert.is(waiting.length, 2, 'the other one loads by itself');
  waiting[1]!.done();
  assert.is(await other, 'loaded');
  assert.is(held.size, 1, 'and what the first had brought is gone');
});

test('a failure is told, leaves nothing, and is not remembered', async () => {
  const { held, waiting, resident } = setUp();
  const failed = resident.upload();
  waiting[0]!.fail(new Error('no such tensor'));
  await failed.then(
    () => assert.unreachable(),
    (error: Error) => assert.is(error.message, 'no such tensor'),
  );
  assert.is(held.size, 0);
  const again = resident.upload();
  waiting[1]!.done();
  await again;
  assert.is(held.size, 1);
});

test('an unload while loading frees what arrives', async () => {
  const { held, waiting, resident } = setUp();
  const loading = resident.upload();
  resident.unload();
  waiting[0]!.done();
  await loading;
  assert.is(held.size, 0);
});

test.run();
