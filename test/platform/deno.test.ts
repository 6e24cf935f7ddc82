// The same sources in Deno, on its own WebGPU (wgpu and naga: core WGSL, no subgroups) and on the
// processor: a tiny model's greedy tokens and audio are those of transformers, and the built-in
// voice says its sentence; on the processor also every fixture of the parity suite. Deno comes from
// npm; where it is not installed this is skipped.
// Needs: a device, on wasm and default.

import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { temporaryFolder } from '../bark/models.ts';
import { f32, readFixture, u16, type DemoFixture } from '../fixtures/fixture.ts';
import { writeModelFolder } from '../fixtures/write_model.ts';
import { currentProfile } from '../profiles.ts';

const test = suite('deno');

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const DENO = `${ROOT}node_modules/.bin/deno`;

interface Said {
  deno: boolean;
  adapter: string;
  kind: string;
  subgroups: boolean;
  rows: { semantic: number[]; coarse: number[]; fine: number[]; audio: number[] }[];
}

const BACKEND = currentProfile().name === 'wasm' ? 'wasm' : 'webgpu';

function sayInDeno(what: {
  model?: string;
  text: string[];
  voicePreset: unknown;
  dtype: 'float16' | 'float32';
  keep?: boolean;
}): Said {
  const said = runInDeno('test/platform/generate.ts', JSON.stringify(what));
  return JSON.parse(said.trim().split('\n').at(-1)!) as Said;
}

/** Runs a file of the project with Deno; returns what it printed. */
function runInDeno(...file: string[]): string {
  const args = ['run', '--allow-all', '--quiet', '--no-config', '--no-lock', '--node-modules-dir=manual', ...file];
  const child = spawnSync(DENO, args, {
    cwd: ROOT,
    encoding: 'utf8',
    timeout: 120_000,
    maxBuffer: 2 ** 26,
    env: { ...process.env, NO_COLOR: '1', BARK_BACKEND: BACKEND },
  });
  assert.is(child.status, 0, `${child.error?.message ?? ''}${child.stdout}${child.stderr}`);
  return child.stdout;
}

const works = existsSync(DENO) && spawnSync(DENO, ['--version'], { timeout: 30_000 }).status === 0;
if (!works) {
  test('not installed', () =>
    console.log("skipped: there is no Deno in node_modules, expected the npm package 'deno'. 'npm ci' installs it."));
} else {
  test('a tiny model, with a voice, as transformers', async () => {
    const fixture = readFixture('base');
    const model = temporaryFolder();
    await writeModelFolder(model, fixture);
    const run = fixture.runs.find(({ name }) => name === 'voice')!;
    const { deno, kind, subgroups, rows } = sayInDeno({
      model,
      text: run.text,
      voicePreset: run.history,
      dtype: 'float32',
    });
    assert.ok(deno);
    assert.is(kind, BACKEND);
    assert.not.ok(subgroups);
    const [row] = rows;
    assert.equal(row!.semantic, run.expected.semantic[0]);
    assert.equal(row!.fine, run.expected.fine[0]!.flat());
    const wanted = f32(run.expected.audio![0]!);
    const worst = wanted.reduce((most, x, i) => Math.max(most, Math.abs(x - row!.audio[i]!)), 0);
    assert.is(row!.audio.length, wanted.length);
    assert.ok(worst <= 1e-4 * wanted.reduce((most, x) => Math.max(most, Math.abs(x)), 1), `audio is off by ${worst}`);
  });

  test('the built-in voice; the process ends though the model is kept', () => {
    const run = readFixture<DemoFixture>('demo_voice').runs.find(
      ({ text, preset }) => text === 'good morning.' && preset,
    )!;
    const { rows } = sayInDeno({ text: [run.text], voicePreset: run.preset, dtype: 'float32', keep: true });
    assert.equal(rows[0]!.semantic, [...u16(run.semantic)]);
    assert.equal(rows[0]!.fine, [...u16(run.fine)]);
  });

  if (BACKEND === 'wasm')
    test('the parity suite', () => {
      const [, passed, all] = /Total: +(\d+)\s+Passed: +(\d+)/.exec(runInDeno('test/bark/parity.test.ts'))!;
      assert.ok(Number(all) > 20);
      assert.is(passed, all);
    });
}

test.run();
