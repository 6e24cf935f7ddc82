// The ledger of a whole model: what half precision and offloading save, that nothing stays after
// dispose() or an abort, and that calls at once take turns. Each test has a device of its own, so
// that the ledger is its own too.
// Needs: a device, on wasm and default.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { LoadOptions } from '../../bark/load_options.ts';
import type { ProgressEvent } from '../../bark/options.ts';
import { Device } from '../../runtime/compute/device.ts';
import type { MemoryReport } from '../../runtime/compute/ledger.ts';
import { profile } from '../device.ts';
import { assertRow, GREEDY, openFixture, type Opened } from './models.ts';
import { readFixture } from '../fixtures/fixture.ts';

const test = suite('memory');

const STAGES = ['semantic.weights', 'coarse_acoustics.weights', 'fine_acoustics.weights', 'codec.weights'] as const;
/** Matrices outweigh vectors here, as in a real model. */
const fixture = readFixture('heads_128_40_64');
const run = fixture.runs[0]!;

async function on(
  body: (device: Device, open: (load?: LoadOptions) => Promise<Opened>) => Promise<void>,
): Promise<void> {
  const device = await Device.request({ portable: profile === 'portable' });
  const all: Opened[] = [];
  try {
    await body(device, async (load) => {
      all.push(await openFixture(fixture, { device, ...load }));
      return all.at(-1)!;
    });
  } finally {
    for (const { model } of all) model.dispose();
    device.dispose();
  }
}

async function speak({ model, processor }: Opened, options: Parameters<typeof model.generate>[1] = GREEDY) {
  return model.generate(await processor.encode(run.text), options);
}

const held = (report: MemoryReport, owner: string): number => report.owners[owner]?.current ?? 0;
const peak = (report: MemoryReport, owner: string): number => report.owners[owner]?.peak ?? 0;
const weights = (report: MemoryReport): number => STAGES.reduce((sum, stage) => sum + held(report, stage), 0);
/** What is held beside weights and the few buffers that read-backs share. */
const besides = (report: MemoryReport): number => report.current - weights(report) - held(report, 'staging');

test('f16 holds half of the weights and cache; after speaking only weights are held, after dispose() nothing', async () => {
  const reports = new Map<string, MemoryReport>();
  for (const dtype of ['float32', 'float16'] as const) {
    await on(async (device, open) => {
      const opened = await open({ dtype });
      const loaded = device.memory();
      assert.is(besides(loaded), 0, JSON.stringify(loaded));
      for (const stage of STAGES) assert.ok(held(loaded, stage) > 0, stage);
      await speak(opened);
      const spoken = device.memory();
      assert.is(besides(spoken), 0, JSON.stringify(spoken));
      assert.is(weights(spoken), weights(loaded));
      assert.equal(opened.model.memory(), spoken);
      reports.set(dtype, spoken);
      opened.model.dispose();
      assert.is(device.memory().current, held(device.memory(), 'staging'), 'after dispose()');
    });
  }
  const [full, half] = [reports.get('float32')!, reports.get('float16')!];
  for (const stage of STAGES.slice(0, 3)) {
    const share = held(half, stage) / held(full, stage);
    assert.ok(share > 0.5 && share < 0.6, `${stage}: ${share} of f32`); // vectors and positions stay f32
  }
  assert.is(held(half, 'codec.weights'), held(full, 'codec.weights'), 'the codec is f32 always');
  for (const cache of ['semantic.cache', 'coarse_acoustics.cache'])
    assert.is(peak(half, cache) * 2, peak(full, cache), cache);
});

test('offloading keeps the weights of one stage at a time, in either precision, and says the same', async () => {
  for (const dtype of ['float32', 'float16'] as const) {
    let all = 0;
    let spoken: number[][] = [];
    await on(async (device, open) => {
      const opened = await open({ dtype });
      all = weights(device.memory());
      spoken = (await speak(opened)).tokens.map(({ fine }) => [...fine]);
    });
    await on(async (device, open) => {
      const opened = await open({ dtype, offload: true });
      assert.is(device.memory().peak, 0, 'nothing is loaded before it is needed');
      let most = 0;
      let together = 0;
      const onProgress = () => {
        const report = device.memory();
        most = Math.max(most, weights(report));
        together = Math.max(together, STAGES.filter((stage) => held(report, stage) > 0).length);
      };
      const output = await speak(opened, { ...GREEDY, onProgress });
      const report = device.memory();
      assert.is(together, 1, 'stages on the GPU at once');
      assert.is(most, Math.max(...STAGES.map((stage) => peak(report, stage))));
      assert.ok(most < all, `${most} of ${all} bytes`);
      assert.is(weights(report), 0, 'after the sentence');
      assert.is(besides(report), 0);
      assert.equal(
        output.tokens.map(({ fine }) => [...fine]),
        spoken,
      );
      if (dtype === 'float32') assertRow(output, 0, run, 0, opened);
      const again = await speak(opened);
      assert.equal(again.tokens, output.tokens);
      for (const [owner, entry] of Object.entries(device.memory().owners))
        if (owner !== 'staging') assert.is(entry.peak, report.owners[owner]!.peak, owner);
      opened.model.dispose();
      assert.is(device.memory().current, held(device.memory(), 'staging'));
    });
  }
});

test('enableCpuOffload() frees what is loaded', async () => {
  await on(async (device, open) => {
    const opened = await open();
    opened.model.enableCpuOffload();
    assert.is(weights(device.memory()), 0);
    assertRow(await speak(opened), 0, run, 0, opened);
    assert.is(weights(device.memory()), 0);
  });
});

test('two models on one device: one goes, the other stays whole', async () => {
  await on(async (device, open) => {
    const [first, second] = [await open(), await open({ dtype: 'float16' })];
    const both = weights(device.memory());
    second.model.dispose();
    assert.ok(weights(device.memory()) > both / 2);
    assertRow(await speak(first), 0, run, 0, first);
    first.model.dispose();
    assert.is(weights(device.memory()), 0);
  });
});

test('an abort in any stage gives its reason, leaks nothing, and the model stays usable', async () => {
  for (const offload of [false, true]) {
    await on(async (device, open) => {
      const opened = await open({ offload });
      await speak(opened); // so that read-back buffers are there
      const before = device.memory().current;
      const stages = ['semantic', 'coarse', 'fine'] as const;
      for (const stage of stages) {
        const control = new AbortController();
        const onProgress = (event: ProgressEvent) =>
          event.stage === stage && control.abort(new Error(`enough of ${stage}`));
        const error = await speak(opened, { ...GREEDY, signal: control.signal, onProgress }).then(
          () => undefined,
          (caught: Error) => caught,
        );
        assert.is(error?.message, `enough of ${stage}`);
        assert.is(device.memory().current, before, `after an abort in ${stage}`);
      }
      const error = await speak(opened, { ...GREEDY, signal: AbortSignal.abort() }).then(
        () => undefined,
        (caught: Error) => caught,
      );
      assert.is(error?.name, 'AbortError', 'aborted before it began');
      assertRow(await speak(opened), 0, run, 0, opened);
      assert.is(device.memory().current, before);
    });
  }
});

test('an abort while loading frees what was loaded', async () => {
  await on(async (device, open) => {
    for (const at of [1, 6, 20]) {
      const control = new AbortController();
      const onProgress = ({ stage, done }: ProgressEvent) =>
        stage === 'load' && done === at && control.abort(new Error('no more'));
      const error = await open({ signal: control.signal, onProgress }).then(
        () => undefined,
        (caught: Error) => caught,
      );
      assert.is(error?.message, 'no more', `at tensor ${at}`);
      assert.is(device.memory().current, held(device.memory(), 'staging'), `at tensor ${at}`);
    }
  });
});

test('calls at once run one after the other, also behind one that fails', async () => {
  await on(async (device, open) => {
    const opened = await open({ offload: true }); // where a second one would pull the weights away
    const order: string[] = [];
    const noting = (name: string) => ({
      ...GREEDY,
      onProgress: ({ stage }: ProgressEvent) => void order.push(`${name} ${stage}`),
    });
    const control = new AbortController();
    const failing = speak(opened, {
      ...noting('a'),
      signal: control.signal,
      onProgress: () => control.abort(new Error('stop')),
    }).catch((error: Error) => error.message);
    const [b, c] = [speak(opened, noting('b')), speak(opened, noting('c'))];
    assert.is(await failing, 'stop');
    for (const output of [await b, await c]) assertRow(output, 0, run, 0, opened);
    const seen = order.filter((event, i) => event !== order[i - 1]);
    assert.equal(
      seen,
      ['b', 'c'].flatMap((name) => ['semantic', 'coarse', 'fine', 'codec'].map((stage) => `${name} ${stage}`)),
    );
    assert.is(weights(device.memory()), 0);
  });
});

test('offloading begun while it speaks, and forward() beside it, pull no weights away', async () => {
  await on(async (device, open) => {
    const opened = await open({});
    let begun = false;
    const beside: Promise<unknown>[] = [];
    const onProgress = ({ stage }: ProgressEvent) => {
      if (stage !== 'coarse' || begun) return;
      begun = true;
      opened.model.enableCpuOffload();
      for (let i = 0; i < 3; i++) beside.push(opened.model.semantic.forward({ inputIds: [[1, 2, 3]] }));
    };
    assertRow(await speak(opened, { ...GREEDY, onProgress }), 0, run, 0, opened);
    assert.is(beside.length, 3);
    await Promise.all(beside);
    assertRow(await speak(opened), 0, run, 0, opened);
    opened.model.semantic.unload();
    assert.is(weights(device.memory()), 0);
    assert.is(besides(device.memory()), 0);
  });
});

test('a model that goes while it speaks leaves a shared device alive', async () => {
  await on(async (device, open) => {
    const [going, staying] = [await open({}), await open({})];
    let gone = false;
    const onProgress = ({ stage }: ProgressEvent) => {
      if (stage !== 'coarse' || gone) return;
      gone = true;
      going.model.dispose();
    };
    await speak(going, { ...GREEDY, onProgress }).catch(() => {}); // it may end, or say that it was disposed
    assert.ok(gone);
    assertRow(await speak(staying), 0, run, 0, staying);
    staying.model.dispose();
    assert.is(weights(device.memory()), 0);
  });
});

test("a model's own device goes with it", async () => {
  const opened = await openFixture(fixture, {});
  const { device } = opened.model;
  assert.ok(device.memory().current > 0);
  opened.model.dispose();
  assert.is(device.memory().current, 0);
  const error = await speak(opened).then(
    () => undefined,
    (caught: Error) => caught,
  );
  assert.match(error!.message, /BarkModel: it was disposed/, error!.stack);
});

test.run();
