// The package from outside: the names it exports, what it asks of a browser, and the README's
// example as a user would run it.
// Needs: a device, on wasm.

import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { BROWSER_BUNDLE, buildPackage, HOST_BUNDLES } from '../bark/build.ts';
import * as bark from '../bark/index.ts';
import * as encodec from '../encodec/index.ts';
import * as runtime from '../runtime/index.ts';

const test = suite('api');
const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..');

test('bark-webgpu exports these names', () => {
  assert.equal(Object.keys(bark).sort(), [
    'BarkCausalModel',
    'BarkCoarseConfig',
    'BarkCoarseModel',
    'BarkConfig',
    'BarkFineConfig',
    'BarkFineModel',
    'BarkGenerationConfig',
    'BarkModel',
    'BarkProcessor',
    'BarkSemanticConfig',
    'BarkSemanticModel',
    'Device',
    'DownloadError',
    'EncodecConfig',
    'EncodecModel',
    'InputError',
    'RawAudio',
    'ShapeError',
    'UnsupportedError',
    'VoicePreset',
    'WeightsError',
    'checkSupport',
  ]);
  for (const name of [
    'BarkConfig',
    'BarkSemanticConfig',
    'BarkCoarseConfig',
    'BarkFineConfig',
    'BarkGenerationConfig',
    'EncodecConfig',
  ] as const)
    assert.type(bark[name].fromJSON, 'function');
});

test('the other doors open, and give the same classes', () => {
  assert.is(encodec.EncodecModel, bark.EncodecModel);
  assert.is(runtime.Device, bark.Device);
  assert.is(runtime.InputError, bark.InputError);
});

test('checkSupport tells the adapter, and never throws', async () => {
  const found = await bark.checkSupport();
  assert.equal(Object.keys(found), ['supported', 'reasons', 'adapter', 'features', 'backend']);
  assert.equal([found.supported, found.reasons, typeof found.adapter], [true, [], 'string']);
  assert.equal(found.features, [...found.features].sort());
  const none = await bark.checkSupport({ adapter: 'no such adapter' });
  assert.equal([none.supported, none.adapter, none.features, none.backend], [false, null, [], null]);
  assert.match(none.reasons[0]!, /expected a name with 'no such adapter'/);
});

test('a browser is asked for nothing of Node', async () => {
  const { outputFiles, metafile } = await build({ ...BROWSER_BUNDLE, write: false, metafile: true });
  assert.equal(
    Object.values(metafile!.outputs).flatMap((output) => output.imports),
    [],
  );
  assert.ok(outputFiles![0]!.contents.length <= 560_000, `${outputFiles![0]!.contents.length} bytes`);
  assert.not.match(outputFiles![0]!.text, /\bfrom\s*["']node:|import\s*\(?["']node:|require\(["']node:/);
  // Bundlers that do not know the browser's door meet Node's modules only behind import().
  const host = await build({
    ...HOST_BUNDLES,
    entryPoints: ['bark/index.ts', 'runtime/index.ts', 'encodec/index.ts'],
    write: false,
    metafile: true,
  });
  const fixed = Object.values(host.metafile!.outputs).flatMap((output) =>
    output.imports.filter(({ kind, external }) => external && kind === 'import-statement').map(({ path }) => path),
  );
  assert.equal([...new Set(fixed)].sort(), ['@huggingface/tokenizers', '@zip.js/zip.js/lib/zip-core-custom.js']);
});

test("the README's first example runs against the built package", async () => {
  await buildPackage();
  const { exports, bin } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
    exports: Record<string, Record<string, string>>;
    bin: Record<string, string>;
  };
  for (const path of [...Object.values(exports).flatMap((door) => Object.values(door)), ...Object.values(bin)])
    assert.ok(existsSync(join(ROOT, path)), path);
  const example = /```js\n(.*?)```/s.exec(readFileSync(join(ROOT, 'README.md'), 'utf8'))?.[1];
  assert.match(example ?? '', /from 'bark-webgpu'/);
  // inside the package, so that it can import itself by its name
  const folder = mkdtempSync(join(ROOT, 'dist', 'example-'));
  try {
    writeFileSync(join(folder, 'example.mjs'), example!);
    const { status, stderr } = spawnSync(process.execPath, ['example.mjs'], {
      cwd: folder,
      encoding: 'utf8',
      timeout: 60_000,
    });
    assert.is(status, 0, stderr);
    const wav = readFileSync(join(folder, 'hello.wav'));
    assert.is(wav.toString('latin1', 0, 4), 'RIFF');
    assert.ok(wav.length > 24000, `${wav.length} bytes`);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test.run();
