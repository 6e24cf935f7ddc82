// Processors on hosts that have less: without memory that threads share, as in a page that is not
// isolated (one thread with a memory of its own), and without relaxed SIMD (the plain build of the
// kernels). Both speak as transformers does. Node is made such a host before anything is imported.
// Needs: no device.

import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { readFixture, u16, type DemoFixture } from '../fixtures/fixture.ts';

const test = suite('lesser hosts');
const GENERATE = fileURLToPath(new URL('generate.ts', import.meta.url));

/** Says a sentence of the built-in voice on the host that `script` makes, and checks the tokens. */
function speaksAfter(script: string, adapter: RegExp): void {
  const run = readFixture<DemoFixture>('demo_voice').runs.find(
    ({ text, preset }) => text === 'good morning.' && preset,
  )!;
  const what = { text: [run.text], voicePreset: run.preset, dtype: 'float32', keep: true };
  const host = `data:text/javascript,${encodeURIComponent(script)}`;
  const child = spawnSync(process.execPath, ['--import', 'tsx', '--import', host, GENERATE, JSON.stringify(what)], {
    encoding: 'utf8',
    timeout: 60_000,
    maxBuffer: 2 ** 26,
    env: { ...process.env, BARK_BACKEND: 'wasm' },
  });
  assert.is(child.status, 0, `${child.error?.message ?? ''}${child.stderr}`);
  const said = JSON.parse(child.stdout) as { adapter: string; rows: { semantic: number[]; fine: number[] }[] };
  assert.match(said.adapter, adapter);
  assert.equal(said.rows[0]!.semantic, [...u16(run.semantic)]);
  assert.equal(said.rows[0]!.fine, [...u16(run.fine)]);
}

test('no shared memory: the built-in voice; the process ends though the model is kept', () =>
  speaksAfter('delete globalThis.SharedArrayBuffer', /, 1 thread · cpu/));

// A multiply-add is the opcode 253 133 2.
const NO_MULTIPLY_ADD = `
  const { validate } = WebAssembly;
  WebAssembly.validate = (bytes) => !bytes.includes(133) && validate(bytes);
`;

test('no relaxed SIMD: the built-in voice with the plain build', () => speaksAfter(NO_MULTIPLY_ADD, /wasm simd/));

test.run();
