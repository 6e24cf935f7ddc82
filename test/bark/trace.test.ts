// A trace of one sentence (BARK_TRACE): stages, submits and every dispatch by name, in the format
// that Perfetto opens.
// Needs: a device, on wasm and default.

import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { BarkModel, BarkProcessor, Device } from '../../bark/index.ts';
import { shader } from '../../kernels/shaders.ts';
import { bark, folder } from './command/run_command.ts';

const test = suite('trace');

interface Event {
  name: string;
  cat?: string;
  ph: string;
  ts: number;
  dur: number;
  pid: number;
  tid: number;
  args?: Record<string, unknown>;
}

const of = (events: readonly Event[], cat: string): Event[] => events.filter((event) => event.cat === cat);

test('a sentence on a traced device: each dispatch that was counted is in it, between its neighbours', async () => {
  const device = await Device.request({ trace: true });
  const processor = await BarkProcessor.fromPretrained();
  const model = await BarkModel.fromPretrained(undefined, { device });
  await device.trace!.settled();
  const before = { ...device.counters };
  const earlier = (device.trace!.toJSON().traceEvents as Event[]).length;
  const options = { seed: 7, semantic: { maxNewTokens: 4 } };
  const output = await model.generate(await processor.encode('hello.'), options);
  const events = (device.trace!.toJSON().traceEvents as Event[]).slice(0);
  const stages = of(events, 'stage').map(({ name }) => name);
  assert.equal(stages, ['load', 'semantic', 'coarse', 'fine', 'codec']);
  assert.ok(events.length > earlier);
  assert.is(of(events, 'submit').length, device.counters.submits);
  assert.is(of(events, 'readback').length, device.counters.readbacks);
  for (const { ts, dur } of events.filter(({ ph }) => ph === 'X')) assert.ok(dur >= 0 && ts > 0);
  if (device.capabilities.timestamps) {
    const dispatches = of(events, 'dispatch');
    assert.is(dispatches.length, device.counters.dispatches);
    assert.ok(device.counters.dispatches > before.dispatches);
    for (const name of new Set(dispatches.map((event) => event.name))) assert.is(shader(name).name, name);
    for (let i = 1; i < dispatches.length; i++)
      assert.ok(dispatches[i]!.ts >= dispatches[i - 1]!.ts, `dispatch ${i} begins before the one that it follows`);
  }
  // Tracing changes when things run, and nothing that is computed.
  const plain = await BarkModel.fromPretrained();
  const again = await plain.generate(await processor.encode('hello.'), options);
  assert.equal(output.tokens, again.tokens);
  assert.is(plain.device.trace, undefined);
  plain.dispose();
  model.dispose();
  device.dispose();
});

test('the command writes the file that BARK_TRACE names, also where it is interrupted', async () => {
  const file = join(folder, 'trace.json');
  const { code, stderr } = await bark(['-o', 'traced.wav', '--seed', '7', '--max-new-tokens', '3', 'hello.'], {
    env: { BARK_TRACE: file },
  });
  assert.is(code, 0, stderr);
  const { traceEvents } = JSON.parse(readFileSync(file, 'utf8')) as { traceEvents: Event[] };
  assert.equal(
    of(traceEvents, 'stage').map(({ name }) => name),
    ['load', 'semantic', 'coarse', 'fine', 'codec'],
  );
  const half = join(folder, 'half.json');
  await bark(['-o', 'half.wav', 'hello there, how are you?'], {
    env: { BARK_TRACE: half },
    watch: (text, kill) => text.includes('semantic') && kill('SIGINT'),
  });
  assert.ok(of((JSON.parse(readFileSync(half, 'utf8')) as { traceEvents: Event[] }).traceEvents, 'submit').length > 0);
});

test('devices of one process share the file', () => {
  const file = join(folder, 'two.json');
  const module = (path: string): string => JSON.stringify(new URL(`../../${path}`, import.meta.url).href);
  const script = `import { Device } from ${module('runtime/index.ts')};
    for (const label of ['first', 'second']) {
      const device = await Device.request();
      await device.read(device.createTensor([4], 'f32', 'test', label));
      device.dispose();
    }`;
  const args = ['--import', import.meta.resolve('tsx'), '--input-type=module', '-e', script];
  const child = spawnSync(process.execPath, args, { env: { ...process.env, BARK_TRACE: file }, encoding: 'utf8' });
  assert.is(child.status, 0, child.stderr);
  const { traceEvents } = JSON.parse(readFileSync(file, 'utf8')) as { traceEvents: Event[] };
  assert.equal(
    of(traceEvents, 'submit').map(({ name }) => name),
    ['read first', 'read second'],
  );
});

test('a file that cannot be written is told before any work', async () => {
  const { code, stderr } = await bark(['-o', 'x.wav', 'hello.'], {
    env: { BARK_TRACE: join(folder, 'no/such/t.json') },
  });
  assert.is(code, 1);
  assert.match(stderr, /BARK_TRACE: got ENOENT for .*t\.json, expected a file that can be written/);
});

test.run();
