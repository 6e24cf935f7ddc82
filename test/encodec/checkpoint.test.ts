// EnCodec's folders: HF's own, Meta's file (made by the real torch.save, fixtures/suno/make.py),
// Meta's names in safetensors, both spellings of weight norm; the audio is transformers' own. And
// views over checkpoints, which the names go through.
// Needs: a device, on wasm and default.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { codecName, openCodecCheckpoint, readCodecConfig } from '../../encodec/checkpoint.ts';
import { EncodecModel } from '../../encodec/model.ts';
import type { Checkpoint } from '../../runtime/formats/checkpoint.ts';
import { joined, prefixed, renamed } from '../../runtime/formats/views.ts';
import { Device } from '../../runtime/compute/device.ts';
import { WeightsError } from '../../runtime/base/errors.ts';
import { safetensorsLayout, writeSafetensors, type TensorToWrite } from '../../runtime/formats/safetensors_write.ts';
import { openSafetensors } from '../../runtime/formats/safetensors.ts';
import { blobBytes, openModelSource } from '../../runtime/sources/open_source.ts';
import { walkWeights } from '../../runtime/formats/weights.ts';
import { assertClose } from '../assert_close.ts';
import { temporaryFolder } from '../bark/models.ts';
import { testDevice } from '../device.ts';
import { formulaWeights, type FormulaOptions } from '../formula.ts';
import { type CodecFixture, type Fixture, f32, readFixture } from '../fixtures/fixture.ts';
const test = suite('encodec checkpoint');
const SUNO = fileURLToPath(new URL('../fixtures/suno/', import.meta.url));
const META = 'encodec_24khz-d7cc33bc.th';
const { codecs } = readFixture<{ codecs: CodecFixture[] }>('codecs');
const codec = codecs.find(({ name }) => name === 'real_shape')!;

/**
 * Meta's name of a tensor of HF's (facebookresearch/encodec, encodec/modules). Transposed
 * convolutions are decoder.layers.3, 6, 9, 12.
 */
function metaName(name: string): string {
  const [, side, n, rest] = /^(encoder|decoder)\.layers\.(\d+)\.(.*)$/.exec(name) ?? [];
  if (side === undefined)
    return name.replace('quantizer.layers', 'quantizer.vq.layers').replace('.codebook.', '._codebook.');
  const inner = side === 'decoder' && /^(3|6|9|12)$/.test(n!) ? 'convtr.convtr.' : 'conv.conv.';
  return `${side}.model.${n}.${rest!.replace(/(^|\.)conv\./, `$1${inner}`)}`;
}

/** The codec's tensors of formula weights as a model.safetensors. */
async function safetensors(options: FormulaOptions, name: (hf: string) => string): Promise<Blob> {
  const inside = renamed(formulaWeights(codec.config, { ...codec.formula, ...options }), (old) =>
    old.startsWith('codec_model.') ? name(old.slice('codec_model.'.length)) : undefined,
  );
  const path = join(temporaryFolder(), 'model.safetensors');
  await writeSafetensors(
    path,
    inside.names().map((tensor) => ({
      ...inside.info(tensor),
      async *data() {
        yield await inside.read(tensor);
      },
    })),
  );
  return new Blob([readFileSync(path)]);
}

const json = (value: unknown) => new Blob([JSON.stringify(value)]);

async function assertSpeaks(
  folder: ReadonlyMap<string, Blob>,
  expected: Pick<CodecFixture, 'runs'>,
  label: string,
): Promise<void> {
  const model = await EncodecModel.fromPretrained(folder, {
    device: await testDevice(),
    codebooks: expected.runs[0]!.codes.length,
  });
  for (const run of expected.runs) {
    const [audio] = await model.decode(run.codes.map((row) => Int32Array.from(row)));
    const wanted = f32(run.audio);
    assertClose(audio!, wanted, { atol: 1e-4 * wanted.reduce((most, v) => Math.max(most, Math.abs(v)), 1) }, label);
  }
  model.dispose();
}

test("HF's names and Meta's, in each spelling of weight norm, give the audio of transformers", async () => {
  for (const weightNorm of ['g_v', 'parametrizations'] as const) {
    for (const [naming, name] of [
      ['HF', (hf: string) => hf],
      ['Meta', metaName],
    ] as const) {
      const folder = new Map([
        ['config.json', json(codec.config.codec_config)],
        ['model.safetensors', await safetensors({ weightNorm }, name)],
      ]);
      await assertSpeaks(folder, codec, `${naming} ${weightNorm}`);
    }
  }
});

test('an abort behind the last weight, while pipelines compile, leaves nothing on a device of others', async () => {
  const device = await Device.request({ tuning: {} });
  const pipeline = device.pipeline.bind(device);
  device.pipeline = (...asked) =>
    new Promise<void>((resolve) => setTimeout(resolve, 1000)).then(() => pipeline(...asked));
  const folder = new Map([
    ['config.json', json(codec.config.codec_config)],
    ['model.safetensors', await safetensors({}, (hf) => hf)],
  ]);
  const control = new AbortController();
  setTimeout(() => control.abort(new Error('no more')), 500);
  const error = await EncodecModel.fromPretrained(folder, {
    device,
    codebooks: codec.runs[0]!.codes.length,
    signal: control.signal,
  }).then(
    () => undefined,
    (thrown: Error) => thrown,
  );
  assert.is(error?.message, 'no more');
  assert.ok(device.memory().peak > 0, 'weights had come');
  assert.is(device.memory().current, 0);
  device.dispose();
});

test("Meta's own file holds the weights of transformers' EncodecModel", async () => {
  const fixture = JSON.parse(readFileSync(join(SUNO, 'model.json'), 'utf8')) as Fixture;
  const source = await openModelSource(
    new Map([
      ['config.json', json(fixture.config.codec_config)],
      [META, new Blob([readFileSync(join(SUNO, META))])],
    ]),
  );
  assert.is((await readCodecConfig(source)).num_filters, fixture.config.codec_config.num_filters);
  const checkpoint = await openCodecCheckpoint(source);
  const expected = formulaWeights(fixture.config, { ...fixture.formula, extras: false });
  for (const full of expected.names().filter((name) => name.startsWith('codec_model.'))) {
    const name = full.slice('codec_model.'.length);
    assert.equal(await checkpoint.read(name), await expected.read(full), name);
  }
  assert.ok(
    checkpoint.has('encoder.layers.0.conv.weight_v') && checkpoint.has('quantizer.layers.3.codebook.cluster_size'),
  );
  await checkpoint.close();
});

test('without config.json it is the 24 kHz model', async () => {
  const source = await openModelSource(new Map([[META, new Blob()]]));
  const {
    sampling_rate,
    upsampling_ratios,
    num_filters,
    hidden_size,
    codebook_size,
    target_bandwidths,
    trim_right_ratio,
    num_lstm_layers,
  } = await readCodecConfig(source);
  assert.equal(
    {
      sampling_rate,
      upsampling_ratios,
      num_filters,
      hidden_size,
      codebook_size,
      target_bandwidths,
      trim_right_ratio,
      num_lstm_layers,
    },
    // prettier-ignore
    { sampling_rate: 24000, upsampling_ratios: [8, 5, 4, 2], num_filters: 32, hidden_size: 128, codebook_size: 1024, target_bandwidths: [1.5, 3, 6, 12, 24], trim_right_ratio: 1, num_lstm_layers: 2 },
  );
});

test('a folder without a codec says so', async () => {
  const source = await openModelSource(new Map([['config.json', json({})]]));
  await openCodecCheckpoint(source).then(
    () => assert.unreachable(),
    (error: Error) =>
      assert.match(
        error.message,
        /got no codec, expected model\.safetensors, pytorch_model\.bin or encodec_24khz-d7cc33bc\.th/,
      ),
  );
});

test('names of HF stay, names of Meta become theirs', () => {
  const names = [
    'encoder.layers.0.conv.weight_g',
    'decoder.layers.3.conv.bias',
    'decoder.layers.4.block.3.conv.parametrizations.weight.original1',
    'decoder.layers.4.shortcut.conv.weight_v',
    'decoder.layers.1.lstm.weight_hh_l1',
    'quantizer.layers.31.codebook.embed',
  ];
  for (const name of names) {
    assert.is(codecName(name), name);
    assert.is.not(metaName(name), name);
    assert.is(codecName(metaName(name)), name);
  }
});

// Views.

const tensor = (name: string, bytes: number[]): TensorToWrite => ({
  name,
  dtype: 'U8',
  shape: [bytes.length],
  async *data() {
    yield Uint8Array.from(bytes);
  },
});

async function file(label: string, tensors: TensorToWrite[]): Promise<Checkpoint & { closed: number }> {
  const { header, order } = safetensorsLayout(tensors);
  const parts: BlobPart[] = [header];
  for (const { data } of order) for await (const bytes of data()) parts.push(bytes as Uint8Array<ArrayBuffer>);
  const opened = await openSafetensors(blobBytes(new Blob(parts), label));
  const counted = { ...opened, closed: 0, close: async () => void counted.closed++ };
  return counted;
}

test('views give other names, and errors that name the file', async () => {
  const a = await file('a.safetensors', [tensor('x', [1, 2, 3]), tensor('y', [4])]);
  const b = await file('b.safetensors', [tensor('x', [5, 6]), tensor('z', [7])]);
  const both = joined(
    'folder',
    new Map([
      ['left.', prefixed(a, 'left.')],
      ['right.', renamed(b, (name) => (name === 'z' ? undefined : `right.${name}`))],
    ]),
  );
  assert.equal(both.names(), ['left.x', 'left.y', 'right.x']);
  assert.equal(both.info('right.x'), { ...b.info('x'), name: 'right.x' });
  assert.equal([...(await both.read('left.x', 1, 3))], [2, 3]);
  assert.equal([...(await both.read('right.x'))], [5, 6]);
  assert.not.ok(both.has('right.z'));
  assert.throws(
    () => both.info('right.z'),
    (error: Error) => error instanceof WeightsError && /b\.safetensors: got no tensor right\.z/.test(error.message),
  );
  assert.throws(
    () => walkWeights(both).at('left').tensor('x', [4]),
    /a\.safetensors: got shape \(3\) for left\.x, expected \(4\)/,
  );
  assert.throws(
    () => walkWeights(both).at('left').tensor('nothing', [4]),
    /a\.safetensors: got no tensor left\.nothing/,
  );
  assert.throws(() => both.info('elsewhere.x'), /folder: got no tensor elsewhere\.x/);
  await both.close();
  assert.equal([a.closed, b.closed], [1, 1]);
});

test('tensors that share a storage are told apart from those of another file', async () => {
  const tied = (label: string): Checkpoint => ({
    label,
    names: () => ['p', 'q'],
    has: (name) => name === 'p' || name === 'q',
    info: (name) => ({ name, dtype: 'U8', shape: [1], byteLength: 1, identity: '0' }),
    read: async () => new Uint8Array(1),
    close: async () => {},
  });
  const both = joined(
    'folder',
    new Map([
      ['a.', prefixed(tied('a'), 'a.')],
      ['b.', prefixed(tied('b'), 'b.')],
    ]),
  );
  assert.is(both.info('a.p').identity, both.info('a.q').identity);
  assert.is.not(both.info('a.p').identity, both.info('b.p').identity);
});

test.run();
