// Starting: which pipelines are asked for, when, and what happens where compiling, loading or
// patience ends early. Each test has a device of its own, because a device compiles a pipeline
// once.
// Needs: a device.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { LoadOptions } from '../../bark/load_options.ts';
import { BarkModel } from '../../bark/model.ts';
import type { ProgressEvent } from '../../bark/options.ts';
import { BarkProcessor } from '../../bark/processor/processor.ts';
import { checkSubgroupMatrix } from '../../kernels/self_check.ts';
import { Device } from '../../runtime/compute/device.ts';
import { UnsupportedError } from '../../runtime/base/errors.ts';
import { currentProfile } from '../profiles.ts';
import { temporaryFolder } from './models.ts';
import { readFixture } from '../fixtures/fixture.ts';
import { writeModelFolder } from '../fixtures/write_model.ts';

const test = suite('startup');

const fixture = readFixture('heads_64_128_16');
const folder = temporaryFolder();
await writeModelFolder(folder, fixture);

/**
 * A device, the shaders of pipelines in the order in which they are asked for, and how many were
 * under way at once; each comes `late` milliseconds late.
 */
async function watched(late = 0): Promise<{ device: Device; asked: string[]; together: { most: number } }> {
  const device = await Device.request({ tuning: {}, ...currentProfile().device });
  const asked: string[] = [];
  const together = { most: 0 };
  let underWay = 0;
  const compile = device.gpu.createComputePipelineAsync.bind(device.gpu);
  device.gpu.createComputePipelineAsync = async (descriptor) => {
    asked.push(descriptor.label!);
    together.most = Math.max(together.most, ++underWay);
    if (late) await new Promise((resolve) => setTimeout(resolve, late));
    return compile(descriptor).finally(() => underWay--);
  };
  // once a device, and before all else: where there is a matrix unit, what is looked at here begins
  // behind it
  await checkSubgroupMatrix(device);
  together.most = 0;
  return { device, asked, together };
}

/** Everything but read-back buffers is freed. */
function assertFreed(device: Device, label: string): void {
  const { current, owners } = device.memory();
  assert.is(current, owners['staging']?.current ?? 0, label);
}

const rejection = (promise: Promise<unknown>): Promise<Error | undefined> =>
  promise.then(
    () => undefined,
    (error: Error) => error,
  );

const sentence = async () => (await BarkProcessor.fromPretrained(folder)).encode(fixture.runs[0]!.text);

const unhandled: unknown[] = [];
process.on('unhandledRejection', (reason) => unhandled.push(reason));

test('all that a sentence needs is asked for before the first weight has come, and nothing later', async () => {
  for (const dtype of ['float16', 'float32'] as const) {
    const { device, asked } = await watched();
    let first: string[] | undefined;
    const model = await BarkModel.fromPretrained(folder, {
      device,
      dtype,
      onProgress: ({ stage }) => void (stage === 'load' && (first ??= [...asked])),
    });
    const loaded = [...asked];
    assert.ok(device.counters.pipelines === asked.length && new Set(first).size > 10, `${asked}`);
    assert.equal(
      loaded.filter((name) => name !== 'cast'),
      first!.filter((name) => name !== 'cast'),
    );
    const output = await model.generate(await sentence(), { seed: 1 });
    assert.ok(output.audio[0]!.data.length > 0);
    assert.equal(asked, loaded);
    model.dispose();
    device.dispose();
  }
});

test('with offloading too, though no weight is loaded', async () => {
  const { device, asked } = await watched();
  const { peak } = device.memory();
  const model = await BarkModel.fromPretrained(folder, { device, offload: true });
  const loaded = [...asked];
  assert.is(device.memory().peak, peak);
  const { timings } = await model.generate(await sentence(), { seed: 1 });
  assert.equal(
    asked.filter((name) => name !== 'cast'),
    loaded,
  );
  assert.ok(timings.firstToken > 0 && timings.firstToken <= timings.semantic);
  model.dispose();
  device.dispose();
});

test('they are compiled side by side, beside the upload', async () => {
  const { device, asked, together } = await watched(200);
  const before = asked.length;
  const model = await BarkModel.fromPretrained(folder, { device });
  const speaking = asked.slice(before).filter((name) => name !== 'cast').length;
  assert.ok(together.most >= speaking, `${together.most} of ${speaking} at once`);
  model.dispose();
  device.dispose();
});

test('a shader that does not compile ends loading with its place, also where weights are on their way', async () => {
  for (const [name, options] of [
    ['sample', {}],
    ['embedding', {}],
    ['sample_codes', { offload: true }],
    ['codebook_sum', { dtype: 'float32' }],
  ] as [string, LoadOptions][]) {
    const { device } = await watched();
    const pipeline = device.pipeline.bind(device);
    device.pipeline = (shader, overrides) =>
      pipeline(shader.name === name ? { ...shader, code: `${shader.code}\nthis is not WGSL` } : shader, overrides);
    const error = await rejection(BarkModel.fromPretrained(folder, { device, ...options }));
    assert.instance(error, UnsupportedError);
    assert.match(error!.message, new RegExp(`^kernels/(\\w+/)?${name}\\.wgsl does not compile on this adapter`));
    await device.settle();
    assertFreed(device, name);
    device.dispose();
  }
});

test('an abort while pipelines compile gives its reason and frees what had come', async () => {
  for (const offload of [false, true]) {
    const { device } = await watched(2000);
    const control = new AbortController();
    setTimeout(() => control.abort(new Error('no more')), 100);
    const start = performance.now();
    const error = await rejection(BarkModel.fromPretrained(folder, { device, offload, signal: control.signal }));
    const took = performance.now() - start;
    assert.is(error?.message, 'no more');
    if (offload) assert.ok(took < 1500, `${took} ms`); // it does not wait for them; an upload waits for its own
    assertFreed(device, `offload: ${offload}`);
    device.dispose();
  }
});

test('a device that goes while pipelines compile ends loading', async () => {
  for (const late of [0, 100]) {
    const { device } = await watched(late);
    const loading = rejection(
      BarkModel.fromPretrained(folder, {
        device,
        onProgress: ({ done }: ProgressEvent) => void (done === 3 && device.dispose()),
      }),
    );
    assert.match((await loading)?.message ?? 'it loaded', /Device: it was disposed|WebGPU|lost/);
  }
});

test('of more rows than one go takes, the first token is that of the first go', async () => {
  const { device } = await watched();
  const model = await BarkModel.fromPretrained(folder, { device });
  const inputs = await (
    await BarkProcessor.fromPretrained(folder)
  ).encode(Array.from({ length: 17 }, () => fixture.runs[0]!.text[0]!));
  const { timings } = await model.generate(inputs, { seed: 1, semantic: { maxNewTokens: 2 } });
  const { total, firstToken, ...stages } = timings;
  assert.ok(firstToken > 0 && firstToken < stages.semantic);
  assert.ok(Math.abs(Object.values(stages).reduce((a, b) => a + b) - total) < 1e-6);
  model.dispose();
  device.dispose();
});

test('no rejection went unseen', async () => {
  await new Promise((resolve) => setTimeout(resolve, 1000));
  assert.equal(unhandled.map(String), []);
});

test.run();
