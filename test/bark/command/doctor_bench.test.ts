// `bark doctor` and `bark bench`.
// Needs: a device, on wasm and default.

import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { rememberTuning } from '../../../runtime/compute/tuning_file.ts';
import { profile, testDevice } from '../../device.ts';
import { folder, bark, expectError } from './run_command.ts';

const test = suite('doctor_bench');

test('bench: its help, its errors, a suite that it passes on, and the end that it comes to', async () => {
  const [help, device] = await Promise.all([
    bark(['bench', '--help']),
    bark(['bench', 'device', '--quick', '--json', '--repeats', '1']),
    expectError(['bench', '--repeats', '0'], 2, /--repeats: got "0"/),
    expectError(['bench', 'kernel'], 2, /bench: got the suite 'kernel', expected .*kernels or /),
    expectError(['bench', 'peers'], 2, /bench: got the suite 'peers'.*only the repository has/),
    expectError(['bench', '--model', 'huge'], 2, /--model: got 'huge', expected small, large, tiny or a path/),
  ]);
  assert.is(help.code, 0, help.stderr);
  for (const part of ['Usage: bark bench', '--tune', 'BARK_TUNING', '\n  kernels ', '\n  decode '])
    assert.ok(help.stdout.includes(part), part);
  assert.is(device.code, 0, device.stderr);
  const results = device.stdout
    .toString()
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  assert.ok(
    results.length > 5 && results.every(({ suite, adapter, variant }) => suite === 'device' && adapter && variant),
  );
  const failed = await bark(['bench', 'load', '--quick', '--model', './absent']);
  assert.is(failed.code, 1, failed.stderr);
});

test('an interrupted --tune writes nothing; what was remembered is in doctor', async () => {
  if (profile === 'wasm') return; // a processor has nothing to tune
  const file = join(folder, 'tuning', 'tuning.json');
  const env = { BARK_TUNING: file };
  let at = 0;
  const result = await bark(['bench', '--tune'], {
    env,
    watch(stderr, kill) {
      if (at > 0 || !/^tune: /m.test(stderr)) return;
      at = performance.now();
      kill('SIGINT');
    },
  });
  const took = performance.now() - at;
  assert.is(result.code, 130, result.stderr);
  assert.ok(at > 0 && took < 2000, `${took} ms`);
  assert.equal(readdirSync(join(file, '..')), []);
  const before = process.env['BARK_TUNING'];
  process.env['BARK_TUNING'] = file;
  await rememberTuning((await testDevice()).info, { gemvBatch: 2 }).finally(() => {
    if (before === undefined) delete process.env['BARK_TUNING'];
    else process.env['BARK_TUNING'] = before;
  });
  const [text, json, off] = await Promise.all([
    bark(['doctor'], { env }),
    bark(['doctor', '--json'], { env }),
    bark(['doctor'], { env: { BARK_TUNING: 'off' } }),
  ]);
  assert.match(text.stdout.toString(), /^tuning +gemvBatch 2, measured \d{4}-\d\d-\d\d, .*tuning\.json$/m);
  const { tuning } = JSON.parse(json.stdout.toString());
  assert.equal([tuning.tuning, tuning.file], [{ gemvBatch: 2 }, file]);
  assert.match(off.stdout.toString(), /^tuning +none in use/m);
});

test('without an adapter the reason is told; doctor tells the rest', async () => {
  if (profile === 'wasm') return;
  if (process.platform !== 'linux') return console.log('skip: only Linux lets a test hide the drivers');
  const env = { VK_DRIVER_FILES: '/absent.json', VK_ICD_FILENAMES: '/absent.json' };
  const [, none, some] = await Promise.all([
    expectError(['hello.'], 1, /got no adapter, expected a GPU or a software driver\. Install a Vulkan driver/, {
      env,
    }),
    bark(['doctor'], { env }),
    bark(['doctor', '--json'], { env: { HF_TOKEN: 'hf_secret', HF_HUB_OFFLINE: '1' } }),
  ]);
  assert.is(none.code, 1);
  assert.match(none.stdout.toString(), /^adapter +none$/m);
  assert.match(none.stdout.toString(), /^problem +WebGPU: got no adapter/m);
  const found = JSON.parse(some.stdout.toString());
  assert.is(some.code, 0, some.stdout.toString());
  assert.is(found.ok, true);
  assert.match(found.selfTest, /is exact/);
  assert.equal(
    [found.hub.cache, found.hub.token, found.hub.offline, found.hub.problem],
    [join(folder, 'hf', 'hub'), true, true, null],
  );
  assert.ok(found.hub.free > 0);
  assert.not.match(some.stdout.toString(), /secret/);
  assert.match(none.stdout.toString(), /^Hub +.*hub, .* free; token no; online$/m);
  assert.ok(found.limits.maxBufferSize > 0 && found.features.length > 0);
});

test('without an adapter the processor speaks, and doctor says why it does and that it computes right', async () => {
  if (process.platform !== 'linux') return console.log('skip: only Linux lets a test hide the drivers');
  const env = { VK_DRIVER_FILES: '/absent.json', VK_ICD_FILENAMES: '/absent.json', BARK_BACKEND: 'auto' };
  const [spoken, doctor, json] = await Promise.all([
    bark(['-o', 'processor.wav', '--seed', '7', '--max-new-tokens', '4', 'hello.'], { env }),
    bark(['doctor'], { env }),
    bark(['doctor', '--json', '--threads', '3'], { env }),
  ]);
  assert.is(spoken.code, 0, spoken.stderr);
  assert.match(spoken.stderr, /No GPU was found, so the processor computes: .*, \d+ threads?\./);
  const text = doctor.stdout.toString();
  assert.is(doctor.code, 0, text);
  assert.match(text, /^GPU +none: WebGPU: got no adapter, expected a GPU or a software driver\. Install a Vulkan/m);
  assert.match(text, /^processor +.* threads? · cpu · wasm/m);
  assert.match(text, /^self-test +.*is exact/m);
  const found = JSON.parse(json.stdout.toString());
  assert.equal([found.ok, found.backend, found.problems], [true, 'wasm', []]);
  assert.match(found.adapter, /, 3 threads/);
});

test.run();
