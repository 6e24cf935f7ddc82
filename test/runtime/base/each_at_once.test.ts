// A list worked through with at most so many items at a time.
// Needs: no device.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { eachAtOnce } from '../../../runtime/base/each_at_once.ts';
import { thrown } from '../../thrown.ts';

const test = suite('each_at_once');
const turn = (): Promise<void> => new Promise((done) => setImmediate(done));

test('every item runs once, in order of their beginning, and never more than the limit together', async () => {
  for (const [count, limit] of [
    [0, 3],
    [1, 3],
    [7, 3],
    [7, 1],
    [5, 100],
  ] as const) {
    const begun: number[] = [];
    let [now, most] = [0, 0];
    await eachAtOnce(
      Array.from({ length: count }, (_, i) => i),
      limit,
      async (item) => {
        begun.push(item);
        most = Math.max(most, ++now);
        await turn();
        now--;
      },
    );
    assert.equal(
      begun,
      Array.from({ length: count }, (_, i) => i),
    );
    assert.is(most, Math.min(count, limit));
  }
});

test('after a failure nothing is begun, and the failure is thrown', async () => {
  const begun: number[] = [];
  const error = await thrown(
    eachAtOnce([0, 1, 2, 3, 4, 5], 2, async (item) => {
      begun.push(item);
      await turn();
      if (item === 1) throw new Error('one');
    }),
  );
  await turn();
  assert.is(error.message, 'one');
  assert.ok(begun.length <= 3, begun.join());
});

test.run();
