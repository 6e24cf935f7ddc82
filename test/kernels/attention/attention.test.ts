// Attention of many queries over the cache against softmax in f64: head sizes on both sides of the
// second half of the channels, causal and not, starts, slots, counts that end inside a tile, the
// end of the cache, and NaN in all of the cache that is not meant. Tolerance: tensors.ts,
// attentionError; in the form `matrix`, roundings to f16 besides.
// Needs: a device, on processors, default, portable, swiftshader and subgroup_matrix.

import { readFileSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { attention } from '../../../kernels/attention/attention.ts';
import { bindingsOf, expand } from '../../../kernels/expand.ts';
import { variantsOf, type Variant } from '../../../kernels/common/choices.ts';
import type { SubgroupMatrixUnit } from '../../../kernels/common/subgroup_matrix.ts';
import { createUniform, writeCall } from '../../../kernels/state.ts';
import { ShapeError } from '../../../runtime/base/errors.ts';
import { record } from '../../../runtime/compute/program.ts';
import type { Shader } from '../../../runtime/compute/shader.ts';
import { testDevice } from '../../device.ts';
import { randomFloats } from '../../random.ts';
import * as reference from '../../../kernels/attention/reference.ts';
import {
  assertWithin,
  attentionError,
  download,
  filled,
  free,
  onlyFull,
  stored,
  UNTOUCHED,
  upload,
} from '../tensors.ts';

const test = suite('attention');
const device = await testDevice();

interface Case {
  heads: number;
  headDim: number;
  dtype: 'f16' | 'f32';
  causal: boolean;
}

interface Span {
  m: number;
  count: number;
  start: number;
  slot: number;
}

const LARGEST = 2; // of the cache's values

/**
 * What the matrix form loses besides, relative to Σ p·|v| and absolute. Channels of q / √D become
 * f16, a step of 2^-10 each (halfStep in tensors.ts), of random sign: a score is wrong by 2 /
 * √headDim of 2^-10 · scoreSize, and a relative error of p is that of the score, above and below
 * the line. Each p becomes f16 above the line only. What is among the subnormals is wrong by 2^-24,
 * where some p was 1 once, so that Σ p is at least that.
 */
function halfErrors(headDim: number, seen: number, scoreSize: number): [relative: number, absolute: number] {
  const scoreError = (2 / Math.sqrt(headDim)) * 2 ** -10 * scoreSize + headDim * 2 ** -24 * LARGEST;
  return [2 * scoreError + 2 ** -10, seen * 2 ** -24 * LARGEST];
}

async function compare(
  c: Case,
  capacity: number,
  spans: Span[],
  variant: Variant,
  scale = 1,
  shader?: Shader,
): Promise<void> {
  const { heads, headDim, dtype, causal } = c;
  const hidden = heads * headDim;
  const size = 2 * heads * capacity * headDim;
  const [ks, vs] = [stored(randomFloats(size, 1, LARGEST), dtype), stored(randomFloats(size, 2, LARGEST), dtype)];
  const shape = [2, heads, capacity, headDim];
  const call = createUniform(device, 3, 'test', 'call');
  for (const { m, ...span } of spans) {
    const qs = randomFloats(m * hidden, 3, scale);
    const others = (i: number): boolean =>
      Math.floor(i / (size / 2)) !== span.slot || Math.floor(i / headDim) % capacity >= span.start + span.count;
    const [keys, values] = [
      await upload(
        ks.map((k, i) => (others(i) ? NaN : k)),
        shape,
        dtype,
      ),
      await upload(
        vs.map((v, i) => (others(i) ? NaN : v)),
        shape,
        dtype,
      ),
    ];
    const [q, y] = [await upload(qs, [m, hidden]), await upload(filled(m * hidden), [m, hidden])];
    writeCall(device, call, span);
    const program = await record(
      device,
      (r) => {
        if (!shader) return attention(r, y, q, { keys, values }, call, { causal, variant });
        r.dispatch(shader, {
          overrides: { CAUSAL: causal ? 1 : 0 },
          bind: { cache: [heads, headDim, capacity], call, q, keys, values, y },
          grid: [Math.ceil(m / 64), heads],
        });
      },
      { label: 'attention' },
    );
    program.run();
    const expected = new Float64Array(m * hidden).fill(UNTOUCHED);
    const allowed = new Float64Array(m * hidden);
    for (let i = 0; i < span.count; i++) {
      const seen = span.start + (causal ? i + 1 : span.count);
      const row = reference.attend(
        qs.subarray(i * hidden, (i + 1) * hidden),
        ks,
        vs,
        { heads, headDim, capacity },
        span.slot,
        seen,
      );
      expected.set(row.values, i * hidden);
      const [relative, absolute] =
        variant === 'subgroup_matrix' && dtype === 'f16' ? halfErrors(headDim, seen, row.scoreSize) : [0, 0];
      allowed.set(
        row.sizes.map((s) => (attentionError(headDim, seen, row.scoreSize) + relative) * s + absolute),
        i * hidden,
      );
    }
    assertWithin(await download(y), expected, allowed, JSON.stringify({ m, variant, ...span, ...c }));
    program.dispose();
    await free(q, y, keys, values);
  }
  await free(call);
}

const spans: Span[] = [
  { m: 1, count: 1, start: 0, slot: 0 },
  { m: 2, count: 1, start: 33, slot: 1 },
  { m: 31, count: 31, start: 1, slot: 0 },
  { m: 33, count: 33, start: 64, slot: 1 },
  { m: 65, count: 64, start: 0, slot: 0 },
  { m: 65, count: 63, start: 67, slot: 1 }, // the end of the cache
  { m: 5, count: 0, start: 3, slot: 0 },
];
const cases: Case[] = [
  { heads: 3, headDim: 8, dtype: 'f16', causal: true },
  { heads: 2, headDim: 72, dtype: 'f32', causal: false },
  ...onlyFull<Case>(
    { heads: 5, headDim: 16, dtype: 'f16', causal: false },
    { heads: 2, headDim: 80, dtype: 'f16', causal: false },
    { heads: 1, headDim: 24, dtype: 'f32', causal: true },
    { heads: 4, headDim: 40, dtype: 'f16', causal: true },
    { heads: 1, headDim: 48, dtype: 'f16', causal: false },
    { heads: 2, headDim: 64, dtype: 'f16', causal: true },
    { heads: 2, headDim: 96, dtype: 'f16', causal: true },
    { heads: 1, headDim: 128, dtype: 'f16', causal: true },
    { heads: 2, headDim: 128, dtype: 'f32', causal: false },
  ),
];
for (const variant of variantsOf(device)) {
  for (const c of cases) test(`${variant}: ${JSON.stringify(c)}`, () => compare(c, 130, spans, variant));
  test(`${variant}: scores of hundreds: one position takes all, and nothing overflows`, () =>
    compare({ heads: 3, headDim: 8, dtype: 'f16', causal: true }, 130, spans.slice(2, 4), variant, 300));
}

/**
 * attention_matrix with arithmetic in place of the matrix unit, and threads counted off in place of
 * subgroups.
 */
function emulated(unit: SubgroupMatrixUnit, headDim: number, keys: number): Shader {
  const { code: body, runs } = expand('attention/attention_subgroup_matrix.wgsl', (file) =>
    readFileSync(
      new URL(
        file === 'common/subgroup_matrix.wgsl' ? 'subgroup_matrix_emulated.wgsl' : `../../../kernels/${file}`,
        import.meta.url,
      ),
      'utf8',
    ),
  );
  let code = body
    .replace(/^enable (subgroup_size_control|chromium_experimental_subgroup_matrix);$/gm, '')
    .replace(' @subgroup_size(SUBGROUP)', '')
    .replace('subgroupMatrixLoad<Sum, row_major>(&staged, ', 'sum_at(')
    .replace(
      '@builtin(subgroup_id) subgroup: u32, @builtin(subgroup_invocation_id) lane: u32) {',
      '@builtin(local_invocation_index) index: u32) { let subgroup = index / SUBGROUP; let lane = index % SUBGROUP; own_lane = lane;',
    );
  for (const [name, value] of Object.entries({
    MATRIX_M: unit.M,
    MATRIX_N: unit.N,
    MATRIX_K: unit.K,
    SUBGROUP: unit.lanes,
    HEAD_DIM: headDim,
    KEYS: keys,
  }))
    code = code.replace(new RegExp(`^const ${name} = \\d+u;`, 'm'), `const ${name} = ${value}u;`);
  return {
    name: `emulated ${JSON.stringify([unit, headDim, keys])}`,
    code,
    runs,
    bindings: bindingsOf('attention/attention_subgroup_matrix.wgsl', code),
  };
}

// Matrix units that are not here. Scores are large enough for the reference to move, and channels
// end in the middle of a matrix. With a head of 64 channels a software driver's compiler takes 15
// s.
const units: { unit: SubgroupMatrixUnit; headDim: number; keys: number; causal: boolean }[] = [
  { unit: { M: 16, N: 16, K: 16, lanes: 32 }, headDim: 8, keys: 32, causal: true },
  ...onlyFull(
    { unit: { M: 16, N: 16, K: 16, lanes: 32 }, headDim: 64, keys: 64, causal: true },
    { unit: { M: 16, N: 16, K: 16, lanes: 32 }, headDim: 72, keys: 32, causal: false },
    { unit: { M: 16, N: 16, K: 16, lanes: 64 }, headDim: 24, keys: 64, causal: false },
    { unit: { M: 8, N: 16, K: 16, lanes: 16 }, headDim: 64, keys: 64, causal: true },
  ),
];
for (const { unit, headDim, keys, causal } of units) {
  test(`matrix of ${JSON.stringify(unit)}, its arithmetic emulated: ${JSON.stringify({ headDim, keys, causal })}`, async () => {
    if (
      !device.capabilities.f16 ||
      device.capabilities.subgroupMinSize < unit.lanes / unit.M ||
      device.limits.maxComputeInvocationsPerWorkgroup < (64 / unit.M) * unit.lanes
    )
      return;
    await compare(
      { heads: 2, headDim, dtype: 'f16', causal },
      130,
      [spans[3]!, spans[5]!],
      'subgroup_matrix',
      10,
      emulated(unit, headDim, keys),
    );
  });
}

test('caches that do not fit are refused', async () => {
  const q = await upload(filled(48), [2, 24]);
  const keys = await upload(filled(2 * 4 * 24), [2, 1, 4, 24], 'f16');
  const call = createUniform(device, 3, 'test', 'call');
  for (const [heads, headDim] of [
    [2, 12],
    [1, 16],
  ] as const) {
    const t = { ...keys, shape: [2, heads, 4, headDim] };
    const error = await record(device, (r) => attention(r, q, q, { keys: t, values: t }, call, { causal: true }), {
      label: 'refused',
    }).catch((e: unknown) => e);
    assert.instance(error, ShapeError);
    assert.match(
      (error as Error).message,
      /^attention: the cache has \d heads of \d+ channels, expected 24 channels together/,
    );
  }
  await free(q, keys, call);
});

test.run();
