// A processor whose memory threads may not share, as in a page that is not isolated: one thread
// with a memory of its own speaks as transformers does. Node is made such a host by taking
// SharedArrayBuffer away from it.
// Needs: no device.

import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { readFixture, u16, type DemoFixture } from '../fixtures/fixture.ts';

const test = suite('unshared');
const GENERATE = fileURLToPath(new URL('generate.ts', import.meta.url));

test('the built-in voice; the process ends though the model is kept', () => {
  const run = readFixture<DemoFixture>('demo_voice').runs.find(
    ({ text, preset }) => text === 'good morning.' && preset,
  )!;
  const what = { text: [run.text], voicePreset: run.preset, dtype: 'float32', keep: true };
  const unshared = 'data:text/javascript,delete globalThis.SharedArrayBuffer';
  const child = spawnSync(process.execPath, ['--import', 'tsx', '--import', unshared, GENERATE, JSON.stringify(what)], {
    encoding: 'utf8',
    timeout: 60_000,
    maxBuffer: 2 ** 26,
    env: { ...process.env, BARK_BACKEND: 'wasm' },
  });
  assert.is(child.status, 0, `${child.error?.message ?? ''}${child.stderr}`);
  const { adapter, rows } = JSON.parse(child.stdout) as {
    adapter: string;
    rows: { semantic: number[]; fine: number[] }[];
  };
  assert.match(adapter, /, 1 thread · cpu/);
  assert.equal(rows[0]!.semantic, [...u16(run.semantic)]);
  assert.equal(rows[0]!.fine, [...u16(run.fine)]);
});

test.run();
