// Options of loading, of encode and of generate: a word that is not known, a word of another Bark
// and a value of another kind are named with what to do, and nothing stays open.
// Needs: a device.

import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import { BarkModel, BarkProcessor, Device, EncodecModel, VoicePreset } from '../../bark/index.ts';
import { testDevice } from '../device.ts';
import { call, leavesNothing, rows } from './calls.ts';
import { testMistakes, type Mistake } from './table.ts';

const test = suite('mistakes in options');

const device = await testDevice();
const model = await BarkModel.fromPretrained(undefined, { device, offload: true });
const processor = await BarkProcessor.fromPretrained();
const inputs = await processor.encode(['one.', 'two.']);
const demo = fileURLToPath(new URL('../../bark/demo_voice', import.meta.url));

// The built-in voice beside a config.json of another size.
const foreign = mkdtempSync(join(tmpdir(), 'mistakes-'));
for (const name of ['model.safetensors', 'generation_config.json']) copyFileSync(join(demo, name), join(foreign, name));
const config = JSON.parse(readFileSync(join(demo, 'config.json'), 'utf8')) as { semantic_config: object };
writeFileSync(
  join(foreign, 'config.json'),
  JSON.stringify({ ...config, semantic_config: { ...config.semantic_config, hidden_size: 64, num_heads: 2 } }),
);

const disposed = await Device.request();
disposed.dispose();

const load = (...given: unknown[]) => call(BarkModel, 'fromPretrained', ...given);
const loadProcessor = (...given: unknown[]) => call(BarkProcessor, 'fromPretrained', ...given);
const encode = (...given: unknown[]) => call(processor, 'encode', ...given);
const generate = (...given: unknown[]) => call(model, 'generate', ...given);
const loadCodec = (...given: unknown[]) => call(EncodecModel, 'fromPretrained', ...given);

const TABLE: readonly Mistake[] = [
  ...rows('processor.encode', encode, [
    [
      '{ voice_preset }',
      ['a', { voice_preset: 'demo/ada' }],
      /unknown option 'voice_preset'.*Did you mean voicePreset\?$/,
    ],
    ['{ voice }', ['a', { voice: 'demo/ada' }], /'voice', expected one of voicePreset, .*Did you mean voicePreset\?$/],
    ['{ history_prompt }', ['a', { history_prompt: 'demo/ada' }], /Did you mean voicePreset\?$/],
    ['{ voicepreset }', ['a', { voicepreset: 'demo/ada' }], /Did you mean voicePreset\?$/],
    ['a voice as second argument', ['a', 'demo/ada'], /got 'demo\/ada' for its options.*\{ voicePreset: … \}/],
    ['a URL as second argument', ['a', new URL('file:///v.npz')], /"file:.* for its options, expected an object/],
    ['a Blob as second argument', ['a', new Blob([])], /got a Blob for its options/],
    ['a list as options', ['a', ['demo/ada']], /for its options, expected an object/],
    ['{ max_length }', ['a', { max_length: 3 }], /Did you mean maxLength\?$/],
    ['{ maxLength: huge }', ['a', { maxLength: 1e12 }], /got 1000000000000 for maxLength, expected .* from 1 to/],
    ['{ maxLength: bigint }', ['a', { maxLength: 9n }], /got 9n for maxLength/],
    ['{ return_tensors }', ['a', { return_tensors: 'pt' }], /'return_tensors'.*Leave it out: encode always/],
    ['{ seed }', ['a', { seed: 7 }], /'seed'.*model\.generate\(inputs, \{ seed: … \}\)/],
    ['{ normalizeText: 0 }', ['a', { normalizeText: 0 }], /got 0 for normalizeText, expected true or false/],
    ['{ signal: {} }', ['a', { signal: {} }], /for signal, expected an AbortSignal/],
    ['a promise of text', [Promise.resolve('a')], /got no text but a Promise.*Write await before it/],
    ['one empty text in a batch', [['one.', '', 'three.']], /^Text 2 of 3: got an empty text/],
    // eslint-disable-next-line no-sparse-arrays
    [
      'a hole in a batch',
      [Object.assign([], { 0: 'one.', 2: 'three.' })],
      /^Text 2 of 3: got undefined, expected a string/,
    ],
    [
      'a voice not awaited',
      ['a', { voicePreset: VoicePreset.load(join(demo, 'none')).catch(() => {}) }],
      /got a Promise, expected semantic_prompt.*await/,
    ],
    ['{ voicePreset: 7 }', ['a', { voicePreset: 7 }], /got 7 for voicePreset, expected a name/],
  ]),
  ...rows('model.generate', generate, [
    ['a text', ['hello'], /got 'hello' for its inputs, expected what processor\.encode gives: model\.generate\(await/],
    ['nothing', [], /got undefined for its inputs, expected what processor\.encode gives/],
    ['inputs not awaited', [processor.encode('a')], /got a Promise for its inputs.*Write await before it/],
    ['{ input_ids }', [{ input_ids: [[1, 2]] }], /unknown key 'input_ids' in its inputs.*Did you mean inputIds\?$/],
    [
      '{ ...inputs, seed }',
      [{ ...inputs, seed: 7 }],
      /unknown key 'seed' in its inputs.*model\.generate\(inputs, \{ seed: … \}\)/,
    ],
    [
      '{ ...inputs, history_prompt }',
      [{ ...inputs, history_prompt: 'demo/ada' }],
      /'history_prompt'.*Did you mean historyPrompt\?$/,
    ],
    [
      '{ ...inputs, historyPrompt: name }',
      [{ ...inputs, historyPrompt: 'demo/ada' }],
      /got 'demo\/ada', expected semantic_prompt.*processor\.encode/,
    ],
    ['inputs without shape', [{ ...inputs, shape: undefined }], /got undefined for shape, expected/],
    ['inputs without ids', [{ ...inputs, inputIds: undefined }], /^inputs: got no ids and \d+ mask values/],
    ['nested ids', [{ ...inputs, inputIds: [[1, 2]] }], /got \[\[1,2\]\] for inputIds, expected an Int32Array/],
    [
      '{ history_prompt }',
      [inputs, { history_prompt: 'demo/ada' }],
      /A voice goes to processor\.encode\(text, \{ voicePreset: … \}\)/,
    ],
    ['{ do_sample }', [inputs, { do_sample: true }], /Did you mean doSample\?$/],
    ['{ top_k }', [inputs, { top_k: 5 }], /Did you mean topK\?$/],
    ['{ semantic: { top_p } }', [inputs, { semantic: { top_p: 1 } }], /'semantic\.top_p'.*Did you mean topP\?$/],
    ['{ min_eos_p }', [inputs, { min_eos_p: 0.1 }], /Did you mean minEosP\?$/],
    ['{ text_temp }', [inputs, { text_temp: 0.7 }], /Did you mean semantic: \{ temperature: … \}\?$/],
    ['{ waveform_temp }', [inputs, { waveform_temp: 0.7 }], /Did you mean coarse: \{ temperature: … \}\?$/],
    [
      '{ semantic_temperature }',
      [inputs, { semantic_temperature: 1 }],
      /Did you mean semantic: \{ temperature: … \}\?$/,
    ],
    ['{ fine_temperature }', [inputs, { fine_temperature: 1 }], /Did you mean fine: \{ temperature: … \}\?$/],
    ['{ max_new_tokens }', [inputs, { max_new_tokens: 9 }], /Did you mean semantic: \{ maxNewTokens: … \}\?$/],
    ['{ num_beams }', [inputs, { num_beams: 4 }], /'num_beams'.*not built/],
    ['{ attention_mask }', [inputs, { attention_mask: [[1]] }], /come from processor\.encode/],
    ['the signal itself', [inputs, new AbortController().signal], /got an AbortSignal for its options/],
    ['options of null', [inputs, null], /got null for its options/],
    ['{ temperature: 0 }', [inputs, { temperature: 0 }], /^temperature: got 0, expected a number above 0/],
    ['{ semantic: { minEosP: 2 } }', [inputs, { semantic: { minEosP: 2 } }], /^semantic\.minEosP: got 2/],
    ['a value that greedy leaves unused', [inputs, { doSample: false, topP: 'all' }], /^topP: got 'all', expected/],
    ['{ topK: NaN }', [inputs, { topK: NaN }], /^topK: got NaN, expected/],
    ['{ seed: null }', [inputs, { seed: null }], /^seed: got null, expected a whole number/],
    ['{ seed: bigint }', [inputs, { seed: 7n }], /^seed: got 7n, expected a whole number/],
    ['{ seed: {} }', [inputs, { seed: {} }], /^seed: got \{\}, expected a whole number/],
  ]),
  ...rows('BarkModel.fromPretrained', load, [
    [
      "{ device: 'webgpu' }",
      [undefined, { device: 'webgpu' }],
      /got 'webgpu' for device, expected a Device.*Device\.request/,
    ],
    ['{ device: a GPUDevice }', [undefined, { device: device.gpu }], /for device, expected a Device\./],
    ['{ device: disposed }', [undefined, { device: disposed }], /^Device: it was disposed, expected a live one/],
    ['{ torch_dtype }', [undefined, { torch_dtype: 'float32' }], /'torch_dtype'.*Did you mean dtype\?$/],
    ['{ cache_dir }', [undefined, { cache_dir: '/x' }], /Did you mean cacheDir\?$/],
    ['{ quantized }', [undefined, { quantized: true }], /Did you mean dtype\?$/],
    ['{ progress_callback }', [undefined, { progress_callback() {} }], /Did you mean onProgress\?$/],
    ['{ local_files_only }', [undefined, { local_files_only: true }], /Did you mean localFilesOnly\?$/],
    [
      '{ localFilesOnly: yes }',
      [undefined, { localFilesOnly: 'yes' }],
      /got 'yes' for localFilesOnly, expected true or false/,
    ],
    ['{ low_cpu_mem_usage }', [undefined, { low_cpu_mem_usage: true }], /Leave it out/],
    [
      "{ dtype: 'q8' }",
      [undefined, { dtype: 'q8' }],
      /got 'q8' for dtype, expected 'float16' \('fp16'\) or 'float32' \('fp32'\)/,
    ],
    ["{ dtype: 'toString' }", [undefined, { dtype: 'toString' }], /got 'toString' for dtype/],
    ['{ offload: 1 }', [undefined, { offload: 1 }], /got 1 for offload, expected true or false/],
    ['{ cacheDir: 5 }', [undefined, { cacheDir: 5 }], /got 5 for cacheDir, expected a string/],
    ['{ onProgress: true }', [undefined, { onProgress: true }], /got true for onProgress, expected a function/],
    ['{ revision } of a folder', [demo, { revision: 'main' }], /demo_voice: got the revision 'main', expected none/],
    ['{ revision } of the built-in voice', [undefined, { revision: 'main' }], /^Demo voice: got the revision 'main'/],
    [
      'options in the place of the model',
      [{ dtype: 'float32' }],
      /Model: got \{"dtype":"float32"\}, expected .*and options second/,
    ],
    ['a number', [5], /Model: got 5, expected a folder's path/],
    ['a Map of texts', [new Map([['config.json', '{}']])], /got '\{\}' for 'config\.json', expected a Blob/],
    ['options as a string', [undefined, 'float32'], /got 'float32' for its options/],
  ]),
  ...rows('BarkProcessor.fromPretrained', loadProcessor, [
    ['{ dtype }', [undefined, { dtype: 'fp32' }], /'dtype'.*It goes to BarkModel\.fromPretrained/],
    ['{ voice_preset }', [undefined, { voice_preset: 'x' }], /A voice goes to processor\.encode/],
    ['{ onWarning: true }', [undefined, { onWarning: true }], /got true for onWarning, expected a function/],
    ['a promise', [Promise.resolve(demo)], /Model: got a Promise, expected .*Write await before it/],
  ]),
];

/** Refused only once files are open: nothing in the arguments is wrong by itself. */
const AFTER_OPENING: readonly Mistake[] = [
  ...rows('BarkModel.fromPretrained', load, [
    ['sizes that are not those of the weights', [foreign, { device }], /got shape .*config\.json/, 'ERR_WEIGHTS'],
    ['the same, offloaded', [foreign, { device, offload: true }], /got shape .*config\.json/, 'ERR_WEIGHTS'],
  ]),
  ...rows('EncodecModel.fromPretrained', loadCodec, [
    ['a folder without a codec', [foreign, { device }], /./, 'ERR_UNSUPPORTED'],
  ]),
];

testMistakes(test, TABLE);
testMistakes(test, AFTER_OPENING);

test("dtype: 'fp16' and 'fp32' are taken", async () => {
  for (const dtype of ['fp16', 'fp32'] as const)
    (await BarkModel.fromPretrained(undefined, { device, dtype, offload: true })).dispose();
});

test('200 refused calls of each kind leave nothing open', () => leavesNothing([...TABLE, ...AFTER_OPENING], device));

test.after(() => {
  model.dispose();
  rmSync(foreign, { recursive: true });
});
test.run();
