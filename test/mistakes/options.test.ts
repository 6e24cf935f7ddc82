// Options: a word that a function does not know, a word of another Bark, and a value of another
// kind are named with what to do, at every door of the library; and what a refused call opened is
// closed again.
// Needs: a GPU.

import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  BarkConfig,
  BarkFineModel,
  BarkGenerationConfig,
  BarkModel,
  BarkProcessor,
  BarkSemanticModel,
  checkSupport,
  Device,
  EncodecModel,
  RawAudio,
  VoicePreset,
} from '../../bark/index.ts';
import { openCheckpoint, openModelSource, requestAdapter } from '../../runtime/index.ts';
import { testDevice } from '../device.ts';
import { testMistakes, type Mistake } from './table.ts';

const test = suite('mistakes in options');

const device = await testDevice();
const model = await BarkModel.fromPretrained(undefined, { device, offload: true });
const processor = await BarkProcessor.fromPretrained();
const inputs = await processor.encode(['one.', 'two.']);
const demo = fileURLToPath(new URL('../../bark/demo_voice', import.meta.url));
const audio = new RawAudio(new Float32Array(4), 24_000);

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

/** Calls a door as plain JavaScript does: with anything. */
const call = (owner: object, method: string, ...given: unknown[]): unknown =>
  (owner as Record<string, (...given: unknown[]) => unknown>)[method]!(...given);

const load = (...given: unknown[]) => call(BarkModel, 'fromPretrained', ...given);
const loadProcessor = (...given: unknown[]) => call(BarkProcessor, 'fromPretrained', ...given);
const encode = (...given: unknown[]) => call(processor, 'encode', ...given);
const generate = (...given: unknown[]) => call(model, 'generate', ...given);
const forward = (...given: unknown[]) => call(model.semantic, 'forward', ...given);
const loadCodec = (...given: unknown[]) => call(EncodecModel, 'fromPretrained', ...given);
const decode = (...given: unknown[]) => call(model.codec_model, 'decode', ...given);
const ids = [[1, 2, 3]];
const codes = { data: new Int32Array(16), shape: [8, 2] };

/** Rows of one door: what is written, what it does, what it says, and the code. */
const rows = (
  door: string,
  make: (...given: unknown[]) => unknown,
  list: readonly (readonly [mistake: string, given: readonly unknown[], says: RegExp, code?: string])[],
): Mistake[] =>
  list.map(([mistake, given, says, code = 'ERR_INPUT']) => ({ door, mistake, make: () => make(...given), says, code }));

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
    ['inputs without shape', [{ ...inputs, shape: undefined }], /got undefined for inputs\.shape/],
    ['nested ids', [{ ...inputs, inputIds: [[1, 2]] }], /got \[\[1,2\]\] for inputs\.inputIds, expected an Int32Array/],
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
    [
      '{ revision } of the built-in voice',
      [undefined, { revision: 'main' }],
      /built-in voice: got the revision 'main'/,
    ],
    [
      'options in the place of the model',
      [{ dtype: 'float32' }],
      /Model: got \{"dtype":"float32"\}, expected .*options second/,
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
  ...rows('model.semantic.forward', forward, [
    [
      '{ attentionMask }',
      [{ inputIds: ids, attentionMask: [[1, 1, 0]] }],
      /semantic\.forward: got attentionMask, expected none: masks are not built yet/,
      'ERR_UNSUPPORTED',
    ],
    [
      '{ attention_mask }',
      [{ inputIds: ids, attention_mask: [[1, 1, 0]] }],
      /got attention_mask, expected none/,
      'ERR_UNSUPPORTED',
    ],
    ['{ input_ids }', [{ input_ids: ids }], /'input_ids' in its inputs.*Did you mean inputIds\?$/],
    ['the ids alone', [ids], /got \[\[1,2,3\]\] for its inputs, expected an object such as \{ inputIds: … \}/],
    ['nothing', [], /got neither of inputIds and inputsEmbeds/],
    ['ids of text', [{ inputIds: 'hello' }], /got 'hello', expected nested lists of numbers/],
    ['ids with a hole', [{ inputIds: [[1, undefined]] }], /got undefined in a list, expected numbers/],
    ['{ past_key_values }', [{ inputIds: ids, past_key_values: [] }], /Did you mean pastKeyValues\?$/],
    [
      '{ pastKeyValues: [] }',
      [{ inputIds: ids, pastKeyValues: [] }],
      /got \[\] for pastKeyValues, expected what forward/,
    ],
    ['{ output_hidden_states }', [{ inputIds: ids, output_hidden_states: true }], /'output_hidden_states'.*not built/],
  ]),
  ...rows('model.fine_acoustics.forward', (...given) => call(model.fine_acoustics, 'forward', ...given), [
    ['one object', [{ codebook_idx: 2, input_ids: ids }], /expected forward\(codebookIdx, codes\)/],
    ['no codes', [2], /got undefined, expected nested lists/],
    ['a mask', [2, ids, { attentionMask: ids }], /got attentionMask, expected none/, 'ERR_UNSUPPORTED'],
  ]),
  ...rows('model.semantic.generate', (...given) => call(model.semantic, 'generate', ...given), [
    ['what encode gives', [inputs], /semantic\.generate: got no history, expected \{ inputIds/],
  ]),
  ...rows('model.enableCpuOffload', (...given) => call(model, 'enableCpuOffload', ...given), [
    ['false', [false], /got false, expected no argument/],
  ]),
  ...rows('BarkSemanticModel.fromPretrained', () => call(BarkSemanticModel, 'fromPretrained', 'suno/bark'), [
    ['a stage alone', [], /expected the whole model: BarkModel\.fromPretrained/, 'ERR_UNSUPPORTED'],
  ]),
  ...rows('BarkFineModel.fromPretrained', () => call(BarkFineModel, 'fromPretrained', 'suno/bark'), [
    ['a stage alone', [], /expected the whole model: BarkModel\.fromPretrained/, 'ERR_UNSUPPORTED'],
  ]),
  ...rows('EncodecModel.fromPretrained', loadCodec, [
    [
      "{ device: 'cuda' }",
      [demo, { device: 'cuda' }],
      /EncodecModel\.fromPretrained: got 'cuda' for device, expected a Device/,
    ],
    ['{ torch_dtype }', [demo, { torch_dtype: 'x' }], /'torch_dtype'.*It goes to BarkModel/],
    ['{ codebooks: 2.5 }', [demo, { codebooks: 2.5 }], /got 2\.5 codebooks/],
    ['nothing', [], /Model: got undefined, expected a folder's path/],
  ]),
  ...rows('codec.decode', decode, [
    ['{ bandwidth }', [codes, { bandwidth: 6 }], /'bandwidth'.*codec\.decode\(codes, options\)/],
    ['nothing', [], /Codes: got undefined, expected \{ data, shape \}/],
    [
      'codes that are no whole numbers',
      [[[0, 1.5]]],
      /Codes: got \[0,1\.5\], expected \{ data, shape \} of whole numbers/,
    ],
  ]),
  ...rows('Device.request', (...given) => call(Device, 'request', ...given), [
    [
      "'webgpu'",
      ['webgpu'],
      /Device\.request: got 'webgpu' for its options, expected an object such as \{ adapter: … \}/,
    ],
    ['{ power_preference }', [{ power_preference: 'low-power' }], /Did you mean powerPreference\?$/],
    [
      '{ powerPreference: fast }',
      [{ powerPreference: 'fast' }],
      /got 'fast' for powerPreference, expected 'low-power'/,
    ],
    ['{ adapter: 0 }', [{ adapter: 0 }], /got 0 for adapter, expected a string/],
  ]),
  ...rows('requestAdapter', (...given) => call({ requestAdapter }, 'requestAdapter', ...given), [
    ['{ adaptor }', [{ adaptor: 'x' }], /requestAdapter: .*'adaptor'.*Did you mean adapter\?$/],
  ]),
  ...rows('openModelSource', (...given) => call({ openModelSource }, 'openModelSource', ...given), [
    ['{ cache_dir }', ['a/b', { cache_dir: '/x' }], /Did you mean cacheDir\?$/],
  ]),
  ...rows('openCheckpoint', (...given) => call({ openCheckpoint }, 'openCheckpoint', ...given), [
    ['a path', [demo], /openCheckpoint: got '.*expected an opened folder: openCheckpoint\(await openModelSource/],
  ]),
  ...rows('VoicePreset', (method, ...given) => call(VoicePreset, method as string, ...given), [
    ['load(7)', ['load', 7], /Voice: got 7, expected the path or URL of a \.npz file/],
    ['load(arrays)', ['load', { semantic_prompt: [1] }], /Arrays go to VoicePreset\.from/],
    ['from(name)', ['from', 'v2/en_speaker_6'], /got 'v2\/en_speaker_6', expected semantic_prompt/],
    ['from(null)', ['from', null], /got null, expected semantic_prompt/],
    [
      'from of empty objects',
      ['from', { semantic_prompt: {}, coarse_prompt: {}, fine_prompt: {} }],
      /semantic_prompt: got \{\}, expected a list/,
    ],
  ]),
  ...rows('RawAudio', (...given) => Reflect.construct(RawAudio, given), [
    ['samples of a list', [[0, 1], 24_000], /got \[0,1\], expected the samples as a Float32Array/],
    ['no samples', [], /got undefined, expected the samples/],
  ]),
  ...rows('audio.save', (...given) => call(audio, 'save', ...given), [
    ['no path', [], /audio\.save: got undefined, expected the path of a file/],
    ['a Blob', [new Blob([])], /audio\.save: got a Blob, expected the path/],
  ]),
  ...rows('BarkConfig.fromJSON', (...given) => call(BarkConfig, 'fromJSON', ...given), [
    ['a path', ['config.json'], /got 'config\.json', expected an object of keys and values/, 'ERR_WEIGHTS'],
  ]),
  ...rows('BarkGenerationConfig.fromJSON', (...given) => call(BarkGenerationConfig, 'fromJSON', ...given), [
    ['a promise', [Promise.resolve({})], /got a Promise, expected the object that JSON\.parse gives\. Write await/],
    ['options', [{}, { label: 'x' }], /got \{"label":"x"\} for label, expected a string/],
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

test('checkSupport tells of a wrong option in its reasons, because it never throws', async () => {
  const { supported, reasons } = await checkSupport({ adaptor: 'x' } as never);
  assert.is(supported, false);
  assert.match(reasons[0]!, /checkSupport: got the unknown option 'adaptor'.*Did you mean adapter\?$/);
});

test("dtype: 'fp16' and 'fp32' are taken", async () => {
  for (const dtype of ['fp16', 'fp32'] as const)
    (await BarkModel.fromPretrained(undefined, { device, dtype, offload: true })).dispose();
});

test('200 refused calls of each kind leave nothing open', async () => {
  const unhandled: unknown[] = [];
  const note = (reason: unknown) => unhandled.push(reason);
  process.on('unhandledRejection', note);
  const refuse = async (make: () => unknown, times: number) => {
    for (let i = 0; i < times; i++)
      await Promise.resolve()
        .then(make)
        .then(
          () => assert.unreachable('nothing was thrown'),
          () => {},
        );
  };
  const held = async () => {
    await new Promise((resolve) => setTimeout(resolve, 300)); // files and the disposed device close late
    return {
      files: process.platform === 'linux' ? readdirSync('/proc/self/fd').length : 0,
      memory: device.memory().current,
    };
  };
  try {
    for (const { make } of [...TABLE, ...AFTER_OPENING]) await refuse(make, 1);
    const before = await held();
    for (const { make } of TABLE) await refuse(make, 200);
    for (const { make } of AFTER_OPENING) await refuse(make, 200);
    assert.equal(await held(), before);
    assert.equal(unhandled, []);
  } finally {
    process.off('unhandledRejection', note);
  }
});

test.after(() => {
  model.dispose();
  rmSync(foreign, { recursive: true });
});
test.run();
