// EnCodec's decoder against transformers: audio and stages of many codecs, from one frame on; the
// specification's table for the real architecture; slices of time, batches, spellings of weight
// norm, errors, and memory that is given back.
// Needs: a device, on wasm and default.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { EncodecConfig, hopLength } from '../../encodec/config.ts';
import { decode, loadDecoder } from '../../encodec/decoder.ts';
import { EncodecModel } from '../../encodec/model.ts';
import { toDevice } from '../../kernels/upload/destination.ts';
import { record } from '../../runtime/compute/program.ts';
import type { Tensor } from '../../runtime/compute/tensor.ts';
import { walkWeights } from '../../runtime/formats/weights.ts';
import { assertClose } from '../assert_close.ts';
import { testDevice } from '../device.ts';
import { formulaIds, formulaWeights, type FormulaOptions } from '../formula.ts';
import { type CodecFixture, type StagesFixture, f32, readFixture } from '../fixtures/fixture.ts';
import { elu } from '../../kernels/conv/reference.ts';
const test = suite('encodec decoder');
const device = await testDevice();
const { codecs } = readFixture<{ codecs: CodecFixture[] }>('codecs');
const fixture = (name: string): CodecFixture => codecs.find((codec) => codec.name === name)!;
const refused = ['pad_constant', 'pad_replicate'];

function open(codec: Pick<CodecFixture, 'config' | 'formula'>, codebooks: number, options: FormulaOptions = {}) {
  const config = EncodecConfig.fromJSON(codec.config.codec_config, 'config.json', 'codec_config');
  const weights = walkWeights(formulaWeights(codec.config, { ...codec.formula, ...options })).at('codec_model');
  return new EncodecModel({ device, config, weights, codebooks });
}

const rows = (codes: number[][]): Int32Array[] => codes.map((row) => Int32Array.from(row));

/**
 * Within 1e-4 of full scale, which is 1 or, for formula weights that are louder, the largest
 * sample.
 */
function assertAudio(actual: Float32Array, expected: Float32Array, label: string): void {
  assertClose(actual, expected, { atol: 1e-4 * expected.reduce((most, v) => Math.max(most, Math.abs(v)), 1) }, label);
}

const OWNER = { name: 'codec.weights' };

/** Decodes with every stage's output kept, as [C, T'] like transformers'. */
async function stagesOf(
  codec: Pick<CodecFixture, 'config' | 'formula'>,
  codes: number[][],
  options: { sliceFrames?: number } = {},
): Promise<Map<string, Float32Array>> {
  const config = EncodecConfig.fromJSON(codec.config.codec_config);
  const decoder = await loadDecoder(
    toDevice(device, { dtype: 'f32', owner: OWNER }),
    config,
    walkWeights(formulaWeights(codec.config, codec.formula)).at('codec_model'),
    codes.length,
  );
  const kept = new Map<string, Tensor>();
  let ids!: Tensor;
  const program = await record(
    device,
    (r) => {
      ids = r.temp([1, codes.length, codes[0]!.length], 'codes', 'u32');
      decode(r, config, decoder, ids, { ...options, onStage: (stage, value) => kept.set(stage, value) });
    },
    { label: 'stages' },
  );
  device.write(ids, Uint32Array.from(codes.flat()));
  program.run();
  const stages = new Map<string, Float32Array>();
  for (const [stage, value] of kept) {
    const [, frames, channels] = value.shape as readonly [number, number, number];
    const data = await device.readFloat32(value);
    stages.set(
      stage,
      data.map((_, i) => data[(i % frames) * channels + Math.floor(i / frames)]!),
    );
  }
  program.dispose();
  device.destroyOwned(OWNER);
  return stages;
}

for (const codec of codecs.filter(({ name }) => !refused.includes(name))) {
  test(`${codec.name}: ${codec.about}`, async () => {
    const model = open(codec, codec.runs[0]!.codes.length);
    const audio = await model.decode(codec.runs.map((run) => rows(run.codes)));
    codec.runs.forEach((run, i) => assertAudio(audio[i]!, f32(run.audio), `${run.codes[0]!.length} frames`));
    model.dispose();
    for (const run of codec.runs.filter((run) => run.stages)) {
      const stages = await stagesOf(codec, run.codes);
      // An ELU's index, where the fixture has the layer in front of it: the two are one here.
      const fused = new Set([...stages.keys()].filter((stage) => !(stage in run.stages!)));
      const before = (stage: string): string => (fused.has(stage) ? `${Number(stage) - 1}` : stage);
      assert.equal([...stages.keys()].map(before).sort(), Object.keys(run.stages!).sort());
      for (const [stage, value] of stages) {
        const expected = f32(run.stages![before(stage)]!);
        assertAudio(
          value,
          fused.has(stage) ? expected.map(elu) : expected,
          `${run.codes[0]!.length} frames, stage ${stage}`,
        );
      }
    }
  });
}

test('other padding modes are refused', () => {
  for (const name of refused) assert.throws(() => open(fixture(name), 8), /pad_mode is '\w+', expected 'reflect'/);
});

test('EnCodec 24 kHz at full size: every stage of the specification', async () => {
  const { codec: runs, config, formula } = readFixture<StagesFixture>('spec84_stages');
  for (const run of runs) {
    const frames = run.codes[0]!.length;
    const stages = await stagesOf({ config, formula }, run.codes);
    for (const [stage, value] of stages) {
      const { shape, first, last, rms } = run.stages[stage]!;
      assert.is(value.length, shape[0]! * shape[1]!, `stage ${stage}`);
      const label = `${frames} frames, stage ${stage}`;
      assertClose(value.slice(0, first.length), first, { atol: 3e-4 }, label);
      assertClose(value.slice(-last.length), last, { atol: 3e-4 }, label);
      assertClose(
        [Math.sqrt(value.reduce((sum, v) => sum + v * v, 0) / value.length)],
        [rms],
        { atol: 2e-4 },
        `${label}, rms`,
      );
    }
    assertAudio(stages.get('15')!, f32(run.audio), `${frames} frames`);
  }
});

test('slices of time give what the whole gives', async () => {
  for (const name of ['filters_10_compress_4', 'residual_3_growth_3', 'not_causal', 'trim_half', 'no_shortcut']) {
    const codec = fixture(name);
    const codes = Array.from({ length: 8 }, (_, q) => [
      ...formulaIds(`slices.${q}`, 211, codec.config.codec_config.codebook_size),
    ]);
    const last = (stages: Map<string, Float32Array>) => [...stages.values()].at(-1)!;
    const whole = last(await stagesOf(codec, codes));
    for (const sliceFrames of [1, 70])
      assertClose(
        last(await stagesOf(codec, codes, { sliceFrames })),
        whole,
        { atol: 1e-6 },
        `${name}, slices of ${sliceFrames}`,
      );
  }
});

test('a batch gives what its clips give alone, in order', async () => {
  const codec = fixture('residual_2');
  const model = open(codec, 8);
  const clips = [3, 5, 3, 1, 5, 3].map((frames, i) => ({
    data: formulaIds(`clip.${i}`, 8 * frames, 64),
    shape: [8, frames],
  }));
  const together = await model.decode(clips);
  assert.equal(
    together.map((audio) => audio.length),
    clips.map(({ shape }) => shape[1]! * hopLength(model.config)),
  );
  for (const [i, clip] of clips.entries()) {
    const [alone] = await model.decode(clip);
    assert.equal(together[i], alone, `clip ${i}`);
  }
  const batch = { data: Int32Array.from([...clips[0]!.data, ...clips[2]!.data]), shape: [2, 8, 3] };
  assert.equal(await model.decode(batch), [together[0], together[2]]);
  model.dispose();
});

test('every spelling of weight norm gives the same audio', async () => {
  const codec = fixture('ratios_3_2');
  const run = codec.runs.at(-1)!;
  for (const weightNorm of ['g_v', 'parametrizations', 'plain'] as const) {
    const model = open(codec, 4, { weightNorm });
    assertAudio((await model.decode(rows(run.codes)))[0]!, f32(run.audio), weightNorm);
    model.dispose();
  }
});

test('fewer codebooks than there are', async () => {
  const codec = fixture('ratios_3_2');
  const model = open(codec, 4);
  const fewer = open(codec, 3);
  const codes = rows(codec.runs.at(-1)!.codes).slice(0, 3);
  assert.equal(await model.decode(codes), await fewer.decode(codes));
  model.dispose();
  fewer.dispose();
});

test('codes that are none are refused, and name what is wrong', async () => {
  const model = open(fixture('ratios_3_2'), 4);
  const refuse = (codes: Parameters<EncodecModel['decode']>[0], pattern: RegExp) =>
    model.decode(codes).then(
      () => assert.unreachable(`${pattern}`),
      (error: Error) => assert.match(error.message, pattern),
    );
  await refuse(
    { data: Int32Array.of(1, 2, 64, 4), shape: [2, 2] },
    /got id 64 in codebook 1, frame 0, expected 0 to 63/,
  );
  await refuse({ data: Int32Array.of(-1), shape: [1, 1] }, /got id -1/);
  await refuse({ data: new Int32Array(10), shape: [5, 2] }, /got 5 codebooks, expected 1 to 4/);
  await refuse({ data: new Int32Array(9), shape: [2, 5] }, /got 9 ids of shape \(2, 5\)/);
  await refuse({ data: new Int32Array(4), shape: [4] }, /expected as many as a shape \(Q, T\)/);
  await refuse({ data: new Int32Array(0), shape: [4, 0] }, /got no frames/);
  await refuse([new Int32Array(3), new Int32Array(4)], /rows of 3, 4 ids/);
  assert.equal(await model.decode([]), []);
  assert.is(held()['codec.weights'] ?? 0, 0, 'nothing was uploaded for them');
  model.dispose();
});

test('weights of another shape name the config keys', async () => {
  const codec = fixture('ratios_3_2');
  const wrong = { ...codec.config.codec_config, num_filters: 16 };
  const weights = walkWeights(formulaWeights(codec.config)).at('codec_model');
  const model = new EncodecModel({ device, config: EncodecConfig.fromJSON(wrong), weights, codebooks: 4 });
  await model.upload().then(
    () => assert.unreachable(),
    (error: Error) => assert.match(error.message, /decoder\.layers\.0\.conv\.weight_g.*num_filters/),
  );
  model.dispose();
});

/** Bytes by owner, without the buffers that read-backs share. */
function held(): Record<string, number> {
  const entries = Object.entries(device.memory().owners).map(([name, { current }]) => [name, current] as const);
  return Object.fromEntries(entries.filter(([name, bytes]) => name !== 'staging' && bytes > 0));
}

test('memory: uploaded once, given back, and brought again', async () => {
  const before = held();
  const model = open(fixture('ratios_3_2'), 4);
  let put = 0;
  await model.upload({ onTensor: () => put++ });
  assert.is(put, model.tensors);
  const uploaded = held();
  const uploads = device.counters.uploads;
  await model.upload();
  assert.is(device.counters.uploads, uploads);
  const codes = { data: new Int32Array(4 * 5), shape: [4, 5] };
  const first = await model.decode(codes);
  assert.equal(held(), uploaded);
  const running = model.decode(codes);
  model.unload(); // the decoding that has begun still gets its weights
  assert.equal(await running, first);
  assert.equal(held(), before);
  assert.equal(await model.decode(codes), first);
  const stop = new AbortController();
  stop.abort();
  await model.decode(codes, { signal: stop.signal }).then(
    () => assert.unreachable(),
    (error: Error) => assert.is(error.name, 'AbortError'),
  );
  model.dispose();
  assert.equal(held(), before);
  await model.decode(codes).then(
    () => assert.unreachable(),
    (error: Error) => assert.match(error.message, /disposed/),
  );
});

test.run();
