// How long submits get: on GPUs that are slow, fast, or met while there was nothing to do, with a
// clock of the test's own.
// Needs: no device.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { SubmitLengths } from '../../../runtime/compute/webgpu/submit_lengths.ts';

const test = suite('submit lengths');

/** Lengths of the submits in which a GPU with `ms` a dispatch gets `total` dispatches, all at once. */
class Gpu {
  #time = 0;
  #queue = Promise.resolve();
  readonly lengths = new SubmitLengths(() => this.#time);

  async run(total: number, ms: number, program = 'step'): Promise<number[]> {
    const submits: number[] = [];
    for (let left = total; left > 0;) {
      const n = Math.min(left, this.lengths.room(program, 0, 0));
      left -= n;
      submits.push(n);
      this.#queue = this.#queue.then(() => void (this.#time += n * ms));
      void this.lengths.submitted(new Map([[program, n]]), this.#queue);
    }
    await this.#queue;
    await Promise.resolve(); // the last one has been heard of
    await Promise.resolve();
    return submits;
  }
}

test('at 10 ms a dispatch no submit takes more than 100 ms, from the first on', async () => {
  const gpu = new Gpu();
  for (let i = 0; i < 5; i++) for (const n of await gpu.run(61, 10)) assert.ok(n <= 10, `${n} dispatches`);
  assert.equal(await gpu.run(61, 10), [10, 10, 10, 10, 10, 10, 1]);
});

test('a fast GPU soon gets everything in one submit', async () => {
  const gpu = new Gpu();
  assert.is((await gpu.run(976, 0.005)).length, 122);
  for (let i = 0; i < 6; i++) await gpu.run(976, 0.005);
  assert.equal(await gpu.run(976, 0.005), [976]);
});

test('a warm-up with nothing to do does not vouch for the first sentence', async () => {
  const gpu = new Gpu();
  await gpu.run(61, 0.001);
  assert.equal(await gpu.run(40, 20), [16, 16, 8]); // twice what was seen, not 61
  assert.equal(await gpu.run(15, 20), [5, 5, 5]);
});

test('a dispatch that alone takes longer than all may is submitted alone', async () => {
  const gpu = new Gpu();
  await gpu.run(16, 300);
  assert.equal(await gpu.run(3, 300), [1, 1, 1]);
});

test('one slow look does not last: lengths grow back', async () => {
  const gpu = new Gpu();
  for (let i = 0; i < 8; i++) await gpu.run(976, 0.01);
  await gpu.run(976, 5); // the machine slept
  assert.ok((await gpu.run(976, 0.01)).length > 20);
  for (let i = 0; i < 4; i++) await gpu.run(976, 0.01);
  assert.equal(await gpu.run(976, 0.01), [976]);
});

test('programs in one submit share its time, and one that is unknown ends it early', () => {
  const lengths = new SubmitLengths(() => 0);
  assert.is(lengths.room('new', 0, 0), 8);
  assert.is(lengths.expected('new', 2), 25);
  assert.is(lengths.room('new', 3, 25), 5);
  assert.is(lengths.room('new', 3, 50), 4);
  assert.is(lengths.room('new', 8, 0), 0);
});

test.run();
