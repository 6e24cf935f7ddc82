// The suite `load` on a checkpoint of two narrow layers, through the command: the fields of its
// lines, and what is exact on any machine: how many bytes are read and in what pieces. Times are
// measured and not judged here. The inventory is compared with that of the released files.
// Needs: a device, on wasm.

import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, utimesSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { inventory, MODELS, neededBytes } from '../../../bench/model/inventory.ts';
import { cachedCheckpoint } from '../../../bench/model/make_checkpoint.ts';
import { median } from '../../../bench/measure/harness.ts';
import { openCheckpoint } from '../../../runtime/formats/open_checkpoint.ts';
import { openModelSource } from '../../../runtime/sources/open_source.ts';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const test = suite('bench load');
const dir = mkdtempSync(join(tmpdir(), 'bark-bench-'));
test.after(() => rmSync(dir, { recursive: true }));

test('the list of tensors equals that of the released files', () => {
  for (const [model, repo] of [
    ['small', 'bark-small'],
    ['large', 'bark'],
  ] as const) {
    const file = join(ROOT, '../shared/data/hub', repo, 'tensors.txt');
    if (!existsSync(file)) return console.log(`skip: no ${repo} inventory in ../shared`);
    const released = readFileSync(file, 'utf8')
      .trim()
      .split('\n')
      .map((line) => line.trim());
    assert.equal(
      inventory(MODELS[model])
        .map(({ name, dtype, shape }) => `${name}|${dtype}|${shape.join('x')}`)
        .sort(),
      released.sort(),
    );
  }
});

test('a checkpoint is made once, has every tensor, and is made again where it has another size', async () => {
  const folder = cachedCheckpoint('tiny', 'torch', dir);
  const file = join(folder, 'pytorch_model.bin');
  utimesSync(file, 1, 1);
  assert.is(cachedCheckpoint('tiny', 'torch', dir), folder);
  assert.is(statSync(file).mtimeMs, 1000);
  assert.equal(readdirSync(dir), ['tiny-torch']); // nothing half-written beside it

  const checkpoint = await openCheckpoint(await openModelSource(folder));
  const wanted = inventory(MODELS.tiny);
  assert.equal(
    checkpoint.names(),
    wanted.map(({ name }) => name),
  );
  for (const { name, shape, tied } of wanted) {
    assert.equal(checkpoint.info(name).shape, shape);
    if (tied) assert.is(checkpoint.info(name).identity, checkpoint.info(tied).identity);
  }
  const mask = await checkpoint.read('semantic.layers.1.attn.bias');
  assert.is(
    mask.reduce((sum, byte) => sum + byte, 0),
    (1024 * 1025) / 2,
  );
  await checkpoint.close();
});

test('the command prints one object a line, and only needed bytes are read, in pieces', () => {
  const args = [
    '--import',
    'tsx',
    join(ROOT, 'bench/run.ts'),
    'load',
    '--json',
    '--quick',
    '--repeats',
    '1',
    '--model',
    'tiny',
    '--dir',
    dir,
  ];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { cwd: ROOT, encoding: 'utf8' });
  assert.is(status, 0, stderr);
  const lines = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, string | number>);
  assert.equal(
    lines.map(({ dtype }) => dtype),
    ['float16', 'float32'],
  );
  for (const line of lines) {
    assert.is(line.suite, 'load');
    assert.is(line.model, 'tiny');
    assert.is(line.layers, 2);
    assert.is(line.variant, 'pytorch_model.bin');
    assert.ok(typeof line.adapter === 'string' && line.adapter.length > 0);
    for (const field of ['readRatio', 'readMs', 'loadMs', 'warmUpMs', 'hostPeakAboveIdleMB', 'processPeakAboveIdleMB'])
      assert.ok(Number.isFinite(line[field]), `${field}: ${line[field]}`);
    const needed = neededBytes(MODELS.tiny);
    assert.ok(
      Number(line.bytesRead) >= needed && Number(line.bytesRead) <= 1.05 * needed,
      `${line.bytesRead} bytes read, ${needed} needed of ${line.fileBytes}`,
    );
    assert.ok(Number(line.largestRead) <= 8 << 20, `a read of ${line.largestRead}`);
    assert.ok(Number(line.gpuBytes) > needed / 2);
    // Two layers of two stages: 12 H² weights each.
    assert.is(line.checkedBytes, 4 * 12 * MODELS.tiny.hidden_size ** 2 * 4);
  }
  assert.is(lines[0]!.bytesRead, lines[1]!.bytesRead);
});

test('the median of an odd number of values is the middle one, of an even number the mean of the two in the middle', () => {
  assert.is(median([3, 1, 2]), 2);
  assert.is(median([4, 1, 2, 10]), 3);
});

test.run();
