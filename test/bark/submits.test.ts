// Long work in several submits (runtime/compute/webgpu/submit_lengths.ts): a device on which a
// dispatch takes 10 ms by the test's clock gets no submit of more than 100 ms, and says the same.
// Needs: a device, on default.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { SubmitLengths } from '../../runtime/compute/webgpu/submit_lengths.ts';
import { WebGpuBackend } from '../../runtime/compute/webgpu/backend.ts';
import { testDevice } from '../device.ts';
import { readFixture } from '../fixtures/fixture.ts';
import { assertRow, encodeRun, greedyOptions, openFixture } from './models.ts';

const test = suite('submits');
const MS = 10;

class Slow extends SubmitLengths {
  static time = 0;
  /** Dispatches of each submit. */
  readonly submits: number[] = [];

  constructor() {
    super(() => Slow.time);
  }

  override submitted(dispatches: ReadonlyMap<string, number>, done: Promise<unknown>): Promise<void> {
    const held = [...dispatches.values()].reduce((sum, n) => sum + n, 0);
    this.submits.push(held);
    return super.submitted(
      dispatches,
      done.then(() => void (Slow.time += MS * held)),
    );
  }
}

test('every run of a fixture, in submits of at most 100 ms, counted', async () => {
  const device = await testDevice();
  const backend = device.backend as WebGpuBackend;
  assert.instance(backend, WebGpuBackend);
  assert.is(backend.submitLengths, null, 'a software adapter has no watchdog');
  const slow = new Slow();
  backend.submitLengths = slow;
  const fixture = readFixture('base');
  const opened = await openFixture(fixture, { device });
  try {
    for (const run of fixture.runs) {
      const before = { ...device.counters };
      const of = slow.submits.length;
      const output = await opened.model.generate(await encodeRun(opened, run), greedyOptions(run));
      for (const b of run.text.keys()) assertRow(output, b, run, b, opened);
      const submits = slow.submits.slice(of);
      assert.is(
        submits.reduce((sum, n) => sum + n, 0),
        device.counters.dispatches - before.dispatches,
        'dispatches are neither lost nor done twice',
      );
      // Read-backs are submits without dispatches.
      const readbacks = device.counters.readbacks - before.readbacks;
      assert.is(submits.length, device.counters.submits - before.submits - readbacks);
      assert.ok(submits.length > 10);
    }
    assert.ok(Math.max(...slow.submits) * MS <= 100, `${Math.max(...slow.submits)} dispatches in one submit`);
  } finally {
    backend.submitLengths = null;
    opened.model.dispose();
  }
});

test.run();
