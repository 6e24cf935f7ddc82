// The examples do what they say: those for Node and Deno run, those for browsers are read by a
// bundler, because no browser runs in these tests.
// Needs: a device, on wasm.

import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { BROWSER_BUNDLE, HOST_BUNDLES } from '../bark/build.ts';

const test = suite('examples');
const ROOT = fileURLToPath(new URL('..', import.meta.url));
const EXAMPLES = join(ROOT, 'bark/examples');
const DENO = join(ROOT, 'node_modules/.bin/deno');
const folder = mkdtempSync(join(tmpdir(), 'bark-examples-'));
test.after(() => rmSync(folder, { recursive: true, force: true }));

// The examples import the package by its name, which is what the build made.
test.before(async () => void (await Promise.all([build(HOST_BUNDLES), build(BROWSER_BUNDLE)])));

function run(program: string, args: string[]): string {
  const child = spawnSync(program, args, { cwd: folder, encoding: 'utf8', timeout: 120_000 });
  assert.is(child.status, 0, child.stderr);
  return child.stdout;
}

/**
 * Seconds that each WAV file named in the output has, by its size: 16 bits at 24 kHz behind 44
 * bytes.
 */
function assertWritten(output: string, files: readonly string[]): void {
  for (const file of files) {
    const said = new RegExp(`^${file}: ([\\d.]+) s`, 'm').exec(output)?.[1];
    assert.ok(said, output);
    assert.ok(Math.abs((statSync(join(folder, file)).size - 44) / 48_000 - Number(said)) < 0.01, file);
  }
}

test('node.mjs speaks one sentence', () => {
  const output = run(process.execPath, [join(EXAMPLES, 'node.mjs')]);
  assertWritten(output, ['hello.wav']);
  for (const stage of ['semantic', 'coarse', 'fine', 'codec'])
    assert.match(output, new RegExp(`^${stage}: \\d+ steps$`, 'm'));
});

test('batch.mjs speaks three, and keeps a voice', () => {
  assertWritten(run(process.execPath, [join(EXAMPLES, 'batch.mjs')]), ['0.wav', '1.wav', '2.wav']);
  assert.ok(existsSync(join(folder, 'voice.npz')));
});

test('deno.ts speaks on Deno', () => {
  if (!existsSync(DENO)) return console.log('skip: deno is not installed');
  const args = ['run', '--allow-all', '--quiet', '--no-config', '--no-lock', '--node-modules-dir=manual'];
  assertWritten(run(DENO, [...args, join(EXAMPLES, 'deno.ts')]), ['deno.wav']);
});

test('the page and its Worker are sound modules of what the build made', async () => {
  const page = readFileSync(join(EXAMPLES, 'browser.html'), 'utf8');
  const script = /<script type="module">(.*?)<\/script>/s.exec(page)![1]!;
  const options = { bundle: true, write: false, format: 'esm', platform: 'browser', logLevel: 'silent' } as const;
  await build({ ...options, stdin: { contents: script, resolveDir: EXAMPLES } });
  const worker = /new URL\('(.*?)', import\.meta\.url\)/.exec(script)![1]!;
  const { metafile } = await build({
    ...options,
    entryPoints: [join(EXAMPLES, worker)],
    metafile: true,
    absWorkingDir: ROOT,
  });
  assert.ok('dist/browser/index.js' in metafile!.inputs);
});

test('each example is one of these', () => {
  assert.equal(readdirSync(EXAMPLES).sort(), ['batch.mjs', 'browser.html', 'deno.ts', 'node.mjs', 'worker.js']);
});

test.run();
