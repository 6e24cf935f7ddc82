// The formula weights against the first values in the specification (section 8.4), and what the
// written files look like.
// Needs: no device.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { formulaIds, formulaValues, formulaWeights } from './formula.ts';
import { f32, readFixture, type CodecFixture, type StagesFixture } from './fixtures/fixture.ts';
import { stored, writeModelFolder } from './fixtures/write_model.ts';

const FIRST: Record<string, number[]> = {
  'semantic.input_embeds_layer.weight': [0.26119316, -0.16583018, 0.07975767, 0.00420821],
  'semantic.layers.1.attn.att_proj.weight': [-0.05427961, -0.0980361, 0.0229463, -0.12077343],
  'fine_acoustics.layernorm_final.bias': [-0.1419255, 0.14519623, -0.00474482, -0.06724302],
  'codec_model.decoder.layers.3.conv.weight_g': [1.28787136, 1.94399214, 1.512151, 1.92897534],
  'codec_model.decoder.layers.15.conv.weight_v': [-0.2496208, -0.99740863, -0.27378821, -0.67577875],
  'codec_model.quantizer.layers.0.codebook.embed': [0.47703612, 0.5946573, -0.87669587, 0.48676431],
};

const test = suite('formula');

test('first values are those of the specification', () => {
  for (const [name, expected] of Object.entries(FIRST)) {
    const got = formulaValues(name, 0, 4);
    expected.forEach((value, i) => assert.ok(Math.abs(got[i]! - value) < 1e-7, `${name}[${i}]: ${got[i]} vs ${value}`));
  }
  assert.equal([...formulaIds('codec.codes', 9, 1024)], [482, 567, 365, 301, 17, 519, 324, 7, 417]);
});

test('last values, through a ranged read of the 129600-row table', async () => {
  const { config } = readFixture('spec84');
  const weights = formulaWeights(config);
  const name = 'semantic.input_embeds_layer.weight';
  const { byteLength, shape } = weights.info(name);
  assert.equal(shape, [129600, 48]);
  const tail = new Float32Array((await weights.read(name, byteLength - 8)).buffer);
  assert.ok(Math.abs(tail[0]! - 0.1123199) < 1e-7 && Math.abs(tail[1]! + 0.04476671) < 1e-7);
});

test('the tensors of a checkpoint, in each spelling', () => {
  const { config } = readFixture('bias');
  const both = formulaWeights(config);
  for (const name of [
    'semantic.layers.1.attn.att_proj.bias',
    'coarse_acoustics.layernorm_final.bias',
    'fine_acoustics.lm_heads.6.weight',
  ])
    assert.ok(both.has(name), name);
  assert.equal(both.info('semantic.layers.0.attn.bias').dtype, 'BOOL');
  const embeddings = formulaWeights(config, { fineHeads: 'embeddings' });
  assert.not(embeddings.has('fine_acoustics.lm_heads.0.weight'));
  const heads = formulaWeights(config, { fineHeads: 'heads', weightNorm: 'parametrizations' });
  assert.not(heads.has('fine_acoustics.input_embeds_layers.1.weight'));
  assert.ok(heads.has('fine_acoustics.input_embeds_layers.0.weight'));
  assert.ok(heads.has('codec_model.decoder.layers.0.conv.parametrizations.weight.original0'));
  assert.ok(formulaWeights(config, { weightNorm: 'plain' }).has('codec_model.decoder.layers.0.conv.weight'));
});

test('a folded weight has the norm g over every dimension but the first', async () => {
  const { config, formula } = readFixture<{ codecs: CodecFixture[] }>('codecs').codecs[2]!;
  const name = 'codec_model.decoder.layers.3.conv';
  const weights = formulaWeights(config, { ...formula, weightNorm: 'plain' });
  const [rows, ...rest] = weights.info(`${name}.weight`).shape;
  const width = rest.reduce((a, b) => a * b, 1);
  const values = new Float32Array((await weights.read(`${name}.weight`)).buffer);
  const g = formulaValues(`${name}.weight_g`, 0, rows!, formula);
  for (let r = 0; r < rows!; r++)
    assert.ok(Math.abs(Math.hypot(...values.subarray(r * width, (r + 1) * width)) - g[r]!) < 1e-5);
});

test('the codebook sum of the specification, from stored weights', async () => {
  const { codec, config } = readFixture<StagesFixture>('spec84_stages');
  const weights = formulaWeights(config);
  const { codes, stages } = codec[0]!;
  let sum = 0;
  for (const [q, row] of codes.entries()) {
    sum += new Float32Array(
      (await weights.read(`codec_model.quantizer.layers.${q}.codebook.embed`, row[0]! * 512, row[0]! * 512 + 4)).buffer,
    )[0]!;
  }
  assert.ok(Math.abs(sum - stages['quantizer']!.first[0]!) < 1e-4);
});

test('rounding to f16 and bf16: ties to even, subnormals, ranges that start anywhere', async () => {
  const values = Float32Array.of(
    1,
    1 + 2 ** -11,
    1 + 3 * 2 ** -11,
    65504,
    65520,
    2 ** -24,
    2 ** -25,
    -(2 ** -14),
    3 * 2 ** -25,
    1 + 2 ** -8,
    1 + 3 * 2 ** -8,
  );
  const bytes = new Uint8Array(values.buffer);
  const source = {
    label: 'values',
    names: () => ['x'],
    has: () => true,
    close: async () => {},
    info: () => ({ name: 'x', dtype: 'F32' as const, shape: [values.length], byteLength: bytes.length }),
    read: async (_: string, start = 0, end = bytes.length) => bytes.slice(start, end),
  };
  const half = new Uint16Array((await stored(source, 'F16').read('x')).buffer);
  assert.equal([...half.subarray(0, 9)], [0x3c00, 0x3c00, 0x3c02, 0x7bff, 0x7c00, 1, 0, 0x8400, 2]);
  const brain = new Uint16Array((await stored(source, 'BF16').read('x')).buffer);
  assert.equal([...brain.subarray(9)], [0x3f80, 0x3f82]);
  assert.equal([...(await stored(source, 'F16').read('x', 3, 5))], [0x3c, 0x02]);
});

test('a model folder: one file, shards, vocab.txt alone', async () => {
  const fixture = readFixture('one_token');
  const dir = mkdtempSync(join(tmpdir(), 'bark-formula-'));
  await writeModelFolder(join(dir, 'one'), fixture);
  await writeModelFolder(join(dir, 'three'), fixture, { shards: 3, dtype: 'BF16', tokenizer: 'vocab.txt' });
  assert.ok(existsSync(join(dir, 'one', 'model.safetensors')) && existsSync(join(dir, 'one', 'tokenizer.json')));
  const files = readdirSync(join(dir, 'three'));
  assert.is(files.filter((file) => file.endsWith('.safetensors')).length, 3);
  assert.not(files.includes('tokenizer.json'));
  const bytes = readFileSync(join(dir, 'one', 'model.safetensors'));
  const length = Number(bytes.readBigUInt64LE());
  const header = JSON.parse(bytes.subarray(8, 8 + length).toString()) as Record<
    string,
    { data_offsets: [number, number] }
  >;
  assert.is(Math.max(...Object.values(header).map((entry) => entry.data_offsets?.[1] ?? 0)), bytes.length - 8 - length);
  const [start] = header['fine_acoustics.layernorm_final.bias']!.data_offsets;
  assert.is(
    bytes.readFloatLE(8 + length + start),
    formulaValues('fine_acoustics.layernorm_final.bias', 0, 1, fixture.formula)[0],
  );
  rmSync(dir, { recursive: true });
});

test('stored tensors are as long as their shape', () => {
  const { runs, forced } = readFixture('base');
  const { logits } = forced.semantic;
  assert.is(
    f32(logits).length,
    logits.shape.reduce((a, b) => a * b, 1),
  );
  assert.is(f32(runs[0]!.expected.audio![0]!).length, runs[0]!.expected.output_lengths[0]);
});

test.run();
