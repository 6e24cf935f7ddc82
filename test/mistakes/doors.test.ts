// Arguments of the other doors of the library: forward, the codec, devices, voices, audio, configs.
// Needs: a device, on wasm.

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
import { call, leavesNothing, rows } from './calls.ts';
import { testMistakes, type Mistake } from './table.ts';

const test = suite('mistakes at other doors');

const device = await testDevice();
const model = await BarkModel.fromPretrained(undefined, { device, offload: true });
const inputs = await (await BarkProcessor.fromPretrained()).encode(['one.', 'two.']);
const demo = fileURLToPath(new URL('../../bark/demo_voice', import.meta.url));
const audio = new RawAudio(new Float32Array(4), 24_000);
const ids = [[1, 2, 3]];
const codes = { data: new Int32Array(16), shape: [8, 2] };

const forward = (...given: unknown[]) => call(model.semantic, 'forward', ...given);
const loadCodec = (...given: unknown[]) => call(EncodecModel, 'fromPretrained', ...given);
const decode = (...given: unknown[]) => call(model.codec_model, 'decode', ...given);

const TABLE: readonly Mistake[] = [
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
    ['{ bandwidth }', [codes, { bandwidth: 6 }], /unknown option 'bandwidth', expected one of signal, onProgress/],
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

testMistakes(
  test,
  Object.entries({
    BarkModel,
    BarkProcessor,
    BarkSemanticModel,
    BarkFineModel,
    EncodecModel,
    Device,
    RawAudio,
    VoicePreset,
  }).map(([name, made]) => ({
    door: `new ${name}`,
    mistake: 'made with new alone',
    make: () => Reflect.construct(made, []) as unknown,
    says: /: got (nothing to make it of|undefined), expected/,
  })),
);
testMistakes(test, TABLE);

test('checkSupport tells of a wrong option in its reasons, because it never throws', async () => {
  const { supported, reasons } = await checkSupport({ adaptor: 'x' } as never);
  assert.is(supported, false);
  assert.match(reasons[0]!, /checkSupport: got the unknown option 'adaptor'.*Did you mean adapter\?$/);
});

test('200 refused calls of each kind leave nothing open', () => leavesNothing(TABLE, device));

test.after(() => model.dispose());
test.run();
