// Weights walked by name over a checkpoint in memory: what errors say, what is read, and what it is
// converted to.
// Needs: a device, on wasm.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { fileURLToPath } from 'node:url';
import type { Checkpoint, StoredDType } from '../../../runtime/formats/checkpoint.ts';
import { InputError, WeightsError } from '../../../runtime/base/errors.ts';
import { openSafetensors } from '../../../runtime/formats/safetensors.ts';
import { openModelSource } from '../../../runtime/sources/open_source.ts';
import { nearestNames } from '../../../runtime/base/messages.ts';
import { readFloat32, readRows, walkWeights } from '../../../runtime/formats/weights.ts';

const test = suite('weights');

type Stored = { shape: number[]; dtype?: StoredDType; data?: ArrayBufferView<ArrayBuffer> };

/**
 * A checkpoint in memory that notes each read as [name, start, end], and the most that ran at once.
 */
function checkpointOf(
  tensors: Record<string, Stored>,
): Checkpoint & { reads: [string, number, number][]; most: number } {
  let running = 0;
  return {
    label: 'tiny',
    reads: [],
    most: 0,
    names: () => Object.keys(tensors),
    has: (name) => Object.hasOwn(tensors, name),
    info: (name) => {
      const { shape, dtype = 'F32', data } = tensors[name]!;
      return { name, shape, dtype, byteLength: data?.byteLength ?? 0 };
    },
    async read(name, start = 0, end) {
      const { data } = tensors[name]!;
      this.reads.push([name, start, end ?? data!.byteLength]);
      this.most = Math.max(this.most, ++running);
      await new Promise((resolve) => setTimeout(resolve, 1));
      running--;
      return new Uint8Array(data!.buffer, data!.byteOffset, data!.byteLength).slice(start, end);
    },
    async close() {},
  };
}

function message(act: () => unknown): string {
  try {
    act();
  } catch (error) {
    assert.instance(error, WeightsError);
    return (error as Error).message;
  }
  throw new Error('nothing was thrown');
}

const bark = checkpointOf({
  'semantic.layers.3.attn.att_proj.weight': { shape: [24, 8] },
  'semantic.layers.3.attn.out_proj.weight': { shape: [8, 8] },
  'semantic.layers.4.attn.att_proj.weight': { shape: [24, 8] },
  'semantic.layernorm_final.weight': { shape: [8] },
  'coarse_acoustics.layernorm_final.weight': { shape: [8] },
});

test('names are paths', () => {
  const attn = walkWeights(bark).at('semantic').at('layers.3.attn');
  assert.is(attn.path, 'semantic.layers.3.attn');
  assert.is(attn.tensor('att_proj.weight', [24, 8]).name, 'semantic.layers.3.attn.att_proj.weight');
  assert.ok(attn.has('out_proj.weight') && !attn.has('out_proj.bias') && !attn.has('toString'));
  assert.is(walkWeights(bark).at('').at('semantic').tensor('layernorm_final.weight', [8]).info.shape.length, 1);
  assert.is(attn.at('out_proj').either('weight_g', 'parametrizations.weight.original0', 'weight'), 'weight');
});

test('a missing tensor names itself and its neighbours', () => {
  const semantic = walkWeights(bark).at('semantic');
  const text = message(() => semantic.tensor('layers.3.attn.attn_proj.weight', [24, 8]));
  assert.match(
    text,
    /^tiny: got no tensor semantic\.layers\.3\.attn\.attn_proj\.weight, expected one\. Nearest names: semantic\.layers\.3\.attn\.att_proj\.weight, /,
  );
  assert.match(
    message(() => walkWeights(bark).tensor('semantik.layernorm_final.weight', [8])),
    /Nearest names: semantic\.layernorm_final\.weight/,
  );
  assert.match(
    message(() => semantic.either('norm.weight_g', 'norm.weight')),
    /no tensor semantic\.norm\.weight_g or semantic\.norm\.weight/,
  );
});

test('a wrong shape says both and who wants it', () => {
  const semantic = walkWeights(bark).at('semantic');
  const cases: [number[], RegExp][] = [
    [[7], /got shape \(8\) for semantic\.layernorm_final\.weight, expected \(7\) \(from hidden_size\)/],
    [[8, 1], /expected \(8, 1\)/],
    [[], /expected \(\)/],
  ];
  for (const [shape, expected] of cases)
    assert.match(
      message(() => semantic.tensor('layernorm_final.weight', shape, 'hidden_size')),
      expected,
    );
});

test('nearest names stay cheap', () => {
  const names = Array.from({ length: 200_000 }, (_, i) => `model.layers.${i}.weight.${'abcdefghij'.repeat(i % 20)}`);
  const began = performance.now();
  assert.is(nearestNames('model.layers.77.weigth', names).length, 3);
  assert.equal(nearestNames('x'.repeat(10_000), names), []);
  assert.ok(performance.now() - began < 1000);
  assert.equal(nearestNames('zzz', ['semantic.weight']), []);
});

test('small tensors as float32, from every float dtype', async () => {
  const source = await openModelSource(fileURLToPath(new URL('../../fixtures/safetensors', import.meta.url)));
  const weights = walkWeights(await openSafetensors(await source.open('mixed.safetensors')));
  const shapes: Record<string, number[]> = { f32: [3, 5], f16: [5, 3], bf16: [2, 3, 2], f64: [7], empty: [0, 4] };
  for (const [name, shape] of Object.entries(shapes)) {
    const count = shape.reduce((a, b) => a * b, 1);
    assert.equal(
      [...(await readFloat32(weights.tensor(name, shape)))],
      Array.from({ length: count }, (_, i) => (i - 7) / 8),
      name,
    );
  }
  assert.equal([...(await readFloat32(weights.tensor('scalar', [])))], [-0.375]);
  assert.equal(
    [...(await readRows(weights.tensor('f16', [5, 3]), [4, 1]))],
    [12, 13, 14, 3, 4, 5].map((i) => (i - 7) / 8),
  );
  for (const [name, shape] of [
    ['i64', [7]],
    ['bool', [1, 3]],
  ] as const) {
    const error = await readFloat32(weights.tensor(name, shape)).catch((e: unknown) => e);
    assert.instance(error, WeightsError);
    assert.match((error as Error).message, new RegExp(`${name}: got dtype ${name.toUpperCase()}`));
  }
  await weights.checkpoint.close();
});

test('rows: only those asked for, near ones together, few reads at once', async () => {
  const [height, width] = [60_000, 96];
  const data = new Float32Array(height * width).map((_, i) => i % 65_521);
  const checkpoint = checkpointOf({ table: { shape: [height, width], data } });
  const table = walkWeights(checkpoint).tensor('table', [height, width]);
  const rows = [59_999, 5, 6, 7, 5, 0, ...Array.from({ length: 40 }, (_, i) => 1000 + i * 1000)];
  const got = await readRows(table, rows);
  const expected = Float32Array.from(
    { length: rows.length * width },
    (_, i) => (rows[Math.floor(i / width)]! * width + (i % width)) % 65_521,
  );
  assert.equal(Buffer.compare(Buffer.from(got.buffer), Buffer.from(expected.buffer)), 0);
  assert.is(checkpoint.reads.length, 42); // 0…7 in one, 40 far ones, the last row
  assert.ok(checkpoint.most > 1 && checkpoint.most <= 8);
  assert.ok(checkpoint.reads.reduce((sum, [, start, end]) => sum + end - start, 0) <= 50 * width * 4);

  checkpoint.reads.length = 0;
  await readRows(
    table,
    Int32Array.from({ length: height }, (_, i) => i),
  );
  assert.ok(
    checkpoint.reads.every(([, start, end]) => end - start <= 2 ** 22),
    'a read is larger than 4 MiB',
  );
  assert.is((await readRows(table, [])).length, 0);

  for (const row of [-1, height, 0.5, NaN])
    assert.instance(await readRows(table, [row]).catch((e: unknown) => e), InputError);
});

test.run();
