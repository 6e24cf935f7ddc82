// Mistakes with the browser's file, dist/browser/index.js, as a page makes them. The file is loaded
// in Node without `process`, which is how it knows that it is in a browser.
// Needs: no device.

import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { build } from 'esbuild';
import { suite } from 'uvu';
import { BROWSER_BUNDLE } from '../../bark/build.ts';
import { temporaryFolder } from '../runtime/sources/hub/support.ts';
import { call, rows } from './calls.ts';
import { testMistakes } from './table.ts';

const test = suite('mistakes in a browser');

/** The browser's file, built and loaded. */
async function browserFile(): Promise<typeof import('../../bark/index.ts')> {
  const { outputFiles } = await build({ ...BROWSER_BUNDLE, write: false });
  const path = join(temporaryFolder(), 'index.mjs');
  writeFileSync(path, outputFiles![0]!.contents);
  const { process } = globalThis;
  try {
    Reflect.set(globalThis, 'process', undefined);
    return (await import(pathToFileURL(path).href)) as typeof import('../../bark/index.ts');
  } finally {
    globalThis.process = process;
  }
}

const bark = await browserFile();
const demo = fileURLToPath(new URL('../../bark/demo_voice', import.meta.url));
/** The demo voice as a file picker gives a folder. */
const picked = new Map(
  readdirSync(demo, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .map((path) => [path.slice(demo.length + 1), new Blob([readFileSync(path)])]),
);
const processor = await bark.BarkProcessor.fromPretrained(picked);
const audio = new bark.RawAudio(new Float32Array(4), 24_000);

const encode = (...given: unknown[]) => call(processor, 'encode', ...given);
const load = (...given: unknown[]) => call(bark.BarkModel, 'fromPretrained', ...given);

testMistakes(test, [
  ...rows('processor.encode', encode, [
    ['{ voice_preset }', ['hello', { voice_preset: 'v2/en_speaker_6' }], /Did you mean voicePreset\?$/],
    ['{ voice }', ['hello', { voice: 'v2/en_speaker_6' }], /Did you mean voicePreset\?$/],
    ['{ history_prompt }', ['hello', { history_prompt: 'x' }], /Did you mean voicePreset\?$/],
    ['{ max_length }', ['hello', { max_length: 9 }], /Did you mean maxLength\?$/],
    ['a voice as the second argument', ['hello', 'v2/en_speaker_6'], /A voice is given as \{ voicePreset: … \}/],
    ['one empty text of two', [['hello', ' ']], /(Text 2|text 2|\[1\])/],
    ['a number', [7], /got no text but 7, expected a string/],
    ['a voice that there is not', ['hello', { voicePreset: 'v2/en_speaker_6' }], /v2\/en_speaker_6/],
  ]),
  ...rows('BarkModel.fromPretrained', load, [
    ["{ device: 'webgpu' }", [picked, { device: 'webgpu' }], /got 'webgpu' for device, expected a Device/],
    ["{ torch_dtype: 'float32' }", [picked, { torch_dtype: 'float32' }], /Did you mean dtype\?$/],
    ["{ dtype: 'q8' }", [picked, { dtype: 'q8' }], /got 'q8' for dtype, expected 'float16'/],
    ['{ cache_dir }', [picked, { cache_dir: '/x' }], /Did you mean cacheDir\?$/],
    ['{ progress_callback }', [picked, { progress_callback: () => {} }], /Did you mean onProgress\?$/],
    ['{ quantized }', [picked, { quantized: true }], /'quantized'.*Did you mean dtype\?$/],
    ['a folder that was picked too deep', [new Map()], /config\.json/, 'ERR_WEIGHTS'],
  ]),
  ...rows('BarkModel.fromPretrained', load, [
    [
      'a browser without WebGPU and without workers',
      [picked],
      /may not start a Worker of a Blob .*Allow worker-src blob: in its Content-Security-Policy/,
      'ERR_UNSUPPORTED',
    ],
  ]),
  ...rows('Device.request', (...given) => call(bark.Device, 'request', ...given), [
    [
      'a GPU in a browser without WebGPU',
      [{ backend: 'webgpu' }],
      /this browser has no WebGPU. Use a current Chrome/,
      'ERR_UNSUPPORTED',
    ],
    ["{ backend: 'cuda' }", [{ backend: 'cuda' }], /got 'cuda' for backend, expected 'auto', 'webgpu' or 'wasm'/],
    ['{ threads: 0 }', [{ backend: 'wasm', threads: 0 }], /got 0 for threads, expected a whole number from 1 to 64/],
    ["'webgpu'", ['webgpu'], /expected an object such as/],
    ['{ power_preference }', [{ power_preference: 'low-power' }], /Did you mean powerPreference\?$/],
  ]),
  ...rows('audio.save', (...given) => call(audio, 'save', ...given), [
    ['x.mp3', ['x.mp3'], /x\.mp3.*\.wav/],
    ['nothing', [], /got undefined, expected/],
  ]),
  ...rows('VoicePreset.load', (...given) => call(bark.VoicePreset, 'load', ...given), [
    [
      'an HTML page',
      [new Blob(['<!doctype html><title>404</title>'])],
      /got a web page, expected a .npz archive/,
      'ERR_WEIGHTS',
    ],
    ['7', [7], /got 7, expected/],
    ['{ repair: 1 }', [new Blob([]), { repair: 1 }], /got 1 for repair, expected true or false/],
  ]),
]);

test.run();
