// Half precision in storage: with f16 weights and cache, teacher-forced logits stay within 5e-2 of
// transformers' f32 ones and point the same way (cosine > 0.9999), on every fixture; and what f16
// storage does to the numbers is rounding of the weights and nothing else.
// Needs: a device, on wasm, default, gpu and subgroup_matrix.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { HostTensor } from '../../bark/gpt/host_tensor.ts';
import type { Checkpoint } from '../../runtime/formats/checkpoint.ts';
import { assertClose, cosine } from '../assert_close.ts';
import { profile, testDevice } from '../device.ts';
import { formulaIds } from '../formula.ts';
import { checkpointOf, FIXTURES, stagesOf } from './models.ts';
import { f32, readFixture } from '../fixtures/fixture.ts';
import { stored } from '../fixtures/write_model.ts';

const test = suite('half');

const shaders = new Set<string>();
test.before(async () => {
  const device = await testDevice();
  const pipeline = device.pipeline.bind(device);
  device.pipeline = (shader, overrides) => (shaders.add(shader.name), pipeline(shader, overrides));
});

function picked(
  { data, shape }: HostTensor,
  positions: readonly number[],
  [from, to]: readonly [number, number],
): number[][] {
  const [B, T, V] = shape as [number, number, number];
  return Array.from({ length: B }, (_, b) =>
    positions.map((at) => [...data.subarray((b * T + at) * V + from, (b * T + at) * V + to)]),
  ).flat();
}

/** Position by position: a cosine over all of them would hide one that is off. */
function check(actual: number[][], wanted: Float32Array, label: string): void {
  const width = actual[0]!.length;
  assertClose(actual.flat(), wanted, { atol: 5e-2 }, label);
  for (const [i, row] of actual.entries()) {
    const like = cosine(row, wanted.subarray(i * width, (i + 1) * width));
    assert.ok(like > 0.9999, `${label}, position ${i}: cosine ${like}`);
  }
}

for (const name of FIXTURES) {
  test(`${name}: f16 storage`, async () => {
    const fixture = readFixture(name);
    const { semantic, coarse, fine } = stagesOf(await testDevice(), fixture, 'f16');
    for (const [model, forced] of [
      [semantic, fixture.forced.semantic],
      [coarse, fixture.forced.coarse_acoustics],
    ] as const) {
      const ids = { data: forced.input_ids.flat(), shape: [forced.input_ids.length, forced.input_ids[0]!.length] };
      const { logits } = await model.forward({ inputIds: ids });
      check(
        picked(logits, forced.positions, forced.columns),
        f32(forced.logits),
        `${name} ${forced === fixture.forced.semantic ? 'semantic' : 'coarse'}`,
      );
    }
    const { codes, positions, by_codebook } = fixture.forced.fine_acoustics;
    for (const [codebook, wanted] of Object.entries(by_codebook)) {
      const { logits } = await fine.forward(Number(codebook), {
        data: codes.flat(2),
        shape: [1, codes[0]!.length, codes[0]![0]!.length],
      });
      check(picked(logits, positions, [0, logits.shape[2]!]), f32(wanted), `${name} fine ${codebook}`);
    }
    for (const stage of [semantic, coarse, fine]) stage.unload();
  });
}

test('f16 storage is the rounding of matrices to f16 and nothing else: a file with them rounded gives the same bits', async () => {
  const fixture = readFixture('heads_8_24_40');
  const device = await testDevice();
  const exact = checkpointOf(fixture);
  const rounded = stored(exact, 'F16');
  const isMatrix = (name: string) =>
    // vectors and positions stay f32
    exact.info(name).shape.length === 2 && !name.endsWith('position_embeds_layer.weight');
  const of = (name: string) => (isMatrix(name) ? rounded : exact);
  const file: Checkpoint = {
    ...exact,
    info: (name) => of(name).info(name),
    read: (name, start, end) => of(name).read(name, start, end),
  };
  const [cast, saved] = [stagesOf(device, fixture, 'f16').fine, stagesOf(device, fixture, 'f16', file).fine];
  const [T, C] = [37, cast.config.n_codes_total];
  const codes = { data: [...formulaIds('half', T * C, 64)], shape: [1, T, C] };
  const [a, b] = [await cast.forward(C - 1, codes), await saved.forward(C - 1, codes)];
  assert.equal(a.logits.data, b.logits.data);
  cast.unload();
  saved.unload();
});

// A form that does not suit gives way to another in silence, as it may for a size or two; if it
// always did, the above would have said nothing about it.
if (profile === 'subgroup_matrix') {
  test('it was the kernels for matrix units that were right', () => {
    for (const base of ['linear', 'qkv', 'attention'])
      assert.ok(
        [...shaders].some((name) => name.startsWith(`${base}_subgroup_matrix`)),
        `${base}: ${[...shaders].join(', ')}`,
      );
  });
}

test.run();
