// The fused projection and its cache write, for many positions and for one a sentence, against f64:
// every head layout, starts, slots, positions at the end of the cache, and all else in the cache as
// it was. Tolerance: f32 sums (tensors.ts), half a step of f16 of each product in the matrix form
// where x is not f16 already, and one step of f16 where the cache is f16.
// Needs: a device, on every profile.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { qkv, qkvDecode, type LayerCache } from '../../../kernels/qkv/qkv.ts';
import { createUniform, writeCall } from '../../../kernels/state.ts';
import { ShapeError } from '../../../runtime/base/errors.ts';
import { record } from '../../../runtime/compute/program.ts';
import { testDevice } from '../../device.ts';
import { randomFloats } from '../../random.ts';
import * as reference from '../../../kernels/linear/reference.ts';
import { variantCases, type VariantCase } from '../variants.ts';
import { folded, freeLinear, randomLinear, stateOf, type HostLinear } from '../decode.ts';
import {
  assertWithin,
  download,
  filled,
  free,
  halfStep,
  onlyFull,
  productError,
  stored,
  UNTOUCHED,
  upload,
} from '../tensors.ts';
import type { GemvOptions } from '../../../kernels/common/products.ts';

const test = suite('qkv');
const device = await testDevice();

interface Case {
  heads: number;
  headDim: number;
  /** f16 or f32 for weights, then for the cache. */
  dtypes: readonly ['f16' | 'f32', 'f16' | 'f32'];
  bias?: boolean;
  norm?: boolean;
  beta?: boolean;
}

/**
 * Compares q (M, H), keys and values with what each placed row of the projection (M, 3H) makes of
 * them; the rest must hold UNTOUCHED.
 */
async function check(
  c: Case,
  label: string,
  got: { q: Float32Array; keys: Float32Array; values: Float32Array },
  product: { values: Float64Array; allowed: Float64Array },
  capacity: number,
  placed: { row: number; slot: number; position: number }[],
): Promise<void> {
  const { heads, headDim, dtypes } = c;
  const hidden = heads * headDim;
  for (const [part, name] of (['q', 'keys', 'values'] as const).entries()) {
    const expected = new Float64Array(got[name].length).fill(UNTOUCHED);
    const allowed = new Float64Array(expected.length);
    for (const { row, slot, position } of placed) {
      for (let i = 0; i < hidden; i++) {
        const from = row * 3 * hidden + part * hidden + i;
        const to =
          part === 0
            ? row * hidden + i
            : ((slot * heads + Math.floor(i / headDim)) * capacity + position) * headDim + (i % headDim);
        const value = product.values[from]!;
        const halves = part > 0 && dtypes[1] === 'f16';
        expected[to] = halves ? Math.max(-65504, Math.min(65504, value)) : value;
        allowed[to] = product.allowed[from]! + (halves ? halfStep(value) : 0);
      }
    }
    assertWithin(got[name], expected, allowed, `${name} ${label}`);
  }
}

async function makeCache(c: Case, batch: number, capacity: number): Promise<LayerCache & { reset(): Promise<void> }> {
  const shape = [batch, c.heads, capacity, c.headDim];
  const before = filled(batch * c.heads * capacity * c.headDim);
  const [keys, values] = [await upload(before, shape, c.dtypes[1]), await upload(before, shape, c.dtypes[1])];
  const fresh = await upload(before, shape, c.dtypes[1]);
  return {
    keys,
    values,
    async reset() {
      const commands = device.commands('reset');
      for (const t of [keys, values]) commands.copy(fresh.buffer, 0, t.buffer, 0, fresh.buffer.size);
      commands.submit();
    },
  };
}

interface Span {
  m: number;
  count: number;
  start: number;
  slot: number;
}

async function compareMany(c: Case, capacity: number, spans: Span[], { exact, ...which }: VariantCase): Promise<void> {
  const hidden = c.heads * c.headDim;
  const layer: HostLinear = await randomLinear(device, 3 * hidden, hidden, c.dtypes[0], { bias: c.bias ?? false });
  const cache = await makeCache(c, 3, capacity);
  const call = createUniform(device, 3, 'test', 'call');
  for (const { m, ...span } of spans) {
    const xs = stored(randomFloats(m * hidden, 1, 2), exact ? 'f16' : 'f32');
    const [x, q] = [await upload(xs, [m, hidden]), await upload(filled(m * hidden), [m, hidden])];
    await cache.reset();
    writeCall(device, call, span);
    const program = await record(device, (r) => qkv(r, q, cache, x, layer.gpu, call, which), { label: 'qkv' });
    program.run();
    const { values, sizes } = reference.linear(xs, layer.weight, layer.bias, [m, 3 * hidden, hidden]);
    const placed = Array.from({ length: span.count }, (_, row) => ({
      row,
      slot: span.slot,
      position: span.start + row,
    }));
    const got = { q: await download(q), keys: await download(cache.keys), values: await download(cache.values) };
    const allowed = sizes.map((s) => productError(hidden, c.dtypes[0] === 'f16' ? which.variant : 'tile', exact) * s);
    await check(c, JSON.stringify({ m, exact, ...which, ...span, ...c }), got, { values, allowed }, capacity, placed);
    program.dispose();
    await free(x, q);
  }
  await freeLinear(layer);
  await free(cache.keys, cache.values, call);
}

const spans: Span[] = [
  { m: 1, count: 1, start: 69, slot: 2 },
  { m: 5, count: 3, start: 0, slot: 1 },
  { m: 65, count: 65, start: 5, slot: 0 },
  { m: 65, count: 64, start: 6, slot: 1 },
  { m: 3, count: 0, start: 2, slot: 0 },
];
const many: Case[] = [
  { heads: 5, headDim: 8, dtypes: ['f16', 'f16'], bias: true },
  { heads: 1, headDim: 72, dtypes: ['f32', 'f32'] },
  ...onlyFull<Case>(
    { heads: 3, headDim: 40, dtypes: ['f16', 'f32'] },
    { heads: 2, headDim: 96, dtypes: ['f32', 'f16'], bias: true },
    { heads: 1, headDim: 8, dtypes: ['f16', 'f16'] },
    { heads: 2, headDim: 128, dtypes: ['f16', 'f16'] },
    { heads: 4, headDim: 16, dtypes: ['f16', 'f16'], bias: true },
  ),
];
for (const which of variantCases(device))
  for (const c of many)
    test(`many positions, ${JSON.stringify(which)}: ${JSON.stringify(c)}`, () => compareMany(c, 70, spans, which));

const CAPACITY = 11;

async function compareRow(
  c: Case,
  batch: number,
  done: number[],
  xScale = 2,
  variant: GemvOptions = {},
): Promise<void> {
  const hidden = c.heads * c.headDim;
  const layer = await randomLinear(device, 3 * hidden, hidden, c.dtypes[0], c);
  const cache = await makeCache(c, batch, CAPACITY);
  const xs = randomFloats(batch * hidden, 1, xScale);
  const [x, q] = [await upload(xs, [batch, hidden]), await upload(filled(batch * hidden), [batch, hidden])];
  const positions = Array.from({ length: batch }, (_, b) => (b === 0 ? CAPACITY - 1 : (3 * b) % CAPACITY));
  const state = stateOf(
    device,
    positions.map((position, b) => ({ position, done: done.includes(b) })),
  );
  const program = await record(device, (r) => qkvDecode(r, q, cache, x, layer.gpu, state, variant), {
    label: 'qkv_decode',
  });
  program.run();
  const placed = positions
    .map((position, b) => ({ row: b, slot: b, position }))
    .filter(({ row }) => !done.includes(row));
  const got = { q: await download(q), keys: await download(cache.keys), values: await download(cache.values) };
  await check(c, JSON.stringify({ batch, done, ...c, ...variant }), got, folded(xs, layer, batch), CAPACITY, placed);
  program.dispose();
  await freeLinear(layer);
  await free(x, q, state, cache.keys, cache.values);
}

test('a row each: f16, LayerNorm and bias, tiles of 3, some ended', () =>
  compareRow({ heads: 3, headDim: 40, dtypes: ['f16', 'f16'], norm: true, beta: true, bias: true }, 9, [1, 3, 4, 5]));
test('a row each: tiles of up to 8, the last one short', () =>
  compareRow({ heads: 2, headDim: 24, dtypes: ['f16', 'f16'], norm: true, beta: true, bias: true }, 11, [2, 9], 2, {
    tile: 8,
  }));
test('a row each: split rows, as GPUs are given them', () =>
  compareRow({ heads: 1, headDim: 72, dtypes: ['f16', 'f16'], norm: true, bias: true }, 2, [], 2, {
    rows: 1,
    threads: 64,
    split: 4,
    ahead: 1,
  }));
test('a row each: f32, LayerNorm', () =>
  compareRow({ heads: 1, headDim: 24, dtypes: ['f32', 'f32'], norm: true }, 2, []));
if (onlyFull(1).length) {
  test('a row each: other sizes', async () => {
    await compareRow({ heads: 1, headDim: 8, dtypes: ['f16', 'f32'] }, 1, []);
    await compareRow({ heads: 2, headDim: 64, dtypes: ['f32', 'f16'], bias: true }, 4, [0, 2, 3]);
    await compareRow({ heads: 5, headDim: 8, dtypes: ['f16', 'f16'], norm: true, beta: true }, 7, [6]);
    await compareRow({ heads: 6, headDim: 128, dtypes: ['f16', 'f16'], norm: true, bias: true }, 8, []);
    await compareRow(
      { heads: 2, headDim: 96, dtypes: ['f32', 'f32'], norm: true, beta: true, bias: true },
      5,
      [0, 1, 2, 3, 4],
    );
    for (const rows of [1, 2, 4])
      for (const split of [1, 2, 8])
        await compareRow(
          { heads: 3, headDim: 88, dtypes: ['f16', 'f16'], norm: true, beta: true, bias: true },
          rows,
          [],
          2,
          { rows, split, threads: 256 / rows, ahead: 1 },
        );
  });
}

test('values beyond half precision are held at ±65504 in an f16 cache', () =>
  compareRow({ heads: 1, headDim: 24, dtypes: ['f32', 'f16'] }, 2, [], 1e6));

test('positions past the end of the cache are left out', async () => {
  const c: Case = { heads: 1, headDim: 24, dtypes: ['f32', 'f32'], norm: true };
  const layer = await randomLinear(device, 72, 24, 'f32', c);
  const cache = await makeCache(c, 2, CAPACITY);
  const [x, q] = [await upload(randomFloats(48, 1), [2, 24]), await upload(filled(48), [2, 24])];
  const state = stateOf(device, [{ position: CAPACITY }, { position: 1 << 30 }]);
  const program = await record(device, (r) => qkvDecode(r, q, cache, x, layer.gpu, state), { label: 'full' });
  program.run();
  for (const t of [cache.keys, cache.values]) assert.equal(await download(t), filled(2 * CAPACITY * 24));
  program.dispose();
  await freeLinear(layer);
  await free(x, q, state, cache.keys, cache.values);
});

test('caches and weights that do not fit are refused', async () => {
  const layer = await randomLinear(device, 72, 24, 'f16', {});
  const cache = await makeCache({ heads: 1, headDim: 24, dtypes: ['f16', 'f16'] }, 2, 4);
  const x = await upload(filled(48), [2, 24]);
  const state = stateOf(device, [{}, {}]);
  const cases: [LayerCache, RegExp][] = [
    [
      { ...cache, keys: { ...cache.keys, shape: [2, 2, 4, 12] } },
      /values \(test\) has shape \(2, 1, 4, 24\), expected \(2, 2, 4, 12\)/,
    ],
    [
      { keys: { ...cache.keys, shape: [2, 2, 4, 12] }, values: { ...cache.values, shape: [2, 2, 4, 12] } },
      /multiple of 8 up to 128/,
    ],
    [
      { keys: { ...cache.keys, shape: [2, 1, 4, 16] }, values: { ...cache.values, shape: [2, 1, 4, 16] } },
      /expected 24 channels together/,
    ],
    [
      { keys: { ...cache.keys, shape: [3, 1, 4, 24] }, values: { ...cache.values, shape: [3, 1, 4, 24] } },
      /keys \(test\) has shape \(3, 1, 4, 24\), expected \(2, \*, \*, \*\)/,
    ],
  ];
  for (const [bad, message] of cases) {
    const error = await record(device, (r) => qkvDecode(r, x, bad, x, layer.gpu, state), { label: 'refused' }).catch(
      (e: unknown) => e,
    );
    assert.instance(error, ShapeError);
    assert.match((error as Error).message, message);
  }
  await freeLinear(layer);
  await free(x, state, cache.keys, cache.values);
});

test.run();
