// The command as a user meets it: a process with arguments, two streams and an exit code. It speaks with the demo voice, in short texts.

import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { BarkModel, BarkProcessor } from '../../bark/index.ts';
import { testDevice } from '../device.ts';

const test = suite('cli');
const CLI = fileURLToPath(new URL('../../bark/cli.ts', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'bark-cli-'));
test.after(() => rmSync(folder, { recursive: true }));

/** A line of a JavaScript stack; Dawn prints one of its own, in C++, where it finds no driver. */
const STACK = /^\s+at .*\.[jt]s:\d/m;

interface Result {
  code: number | null;
  stdout: Buffer;
  stderr: string;
}

interface Options {
  stdin?: string;
  env?: Record<string, string>;
  /** Called with standard error so far, whenever it grows. */
  watch?: (stderr: string, kill: (signal: NodeJS.Signals) => void, closeOutput: () => void) => void;
}

function bark(args: string[], { stdin, env = {}, watch }: Options = {}): Promise<Result> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, ['--import', import.meta.resolve('tsx'), CLI, ...args], { cwd: folder, env: { ...process.env, ...env }, stdio: [stdin === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'] });
    const out: Buffer[] = [];
    let stderr = '';
    child.stdout!.on('data', (data: Buffer) => out.push(data));
    child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
      watch?.(stderr, (signal) => child.kill(signal), () => child.stdout!.destroy());
    });
    child.stdin?.end(stdin);
    child.on('close', (code) => resolve({ code, stdout: Buffer.concat(out), stderr }));
  });
}

/** Ends with `code` and one line of error with `message`, nothing on standard output and no stack trace. */
async function expectError(args: string[], code: number, message: RegExp, options?: Options): Promise<void> {
  const result = await bark(args, options);
  const name = `bark ${args.join(' ')}`;
  assert.is(result.code, code, `${name}: ${result.stderr}`);
  assert.is(result.stdout.length, 0, name);
  const errors = result.stderr.split('\n').filter((line) => line.startsWith('error: '));
  assert.is(errors.length, 1, `${name}: ${result.stderr}`);
  assert.match(errors[0]!, message);
  assert.not.match(result.stderr, STACK);
}

function readWav(bytes: Buffer): { rate: number; samples: Int16Array } {
  assert.is(bytes.toString('latin1', 0, 4), 'RIFF');
  assert.is(bytes.readUInt32LE(4), bytes.length - 8);
  assert.is(bytes.toString('latin1', 8, 16), 'WAVEfmt ');
  assert.is(bytes.toString('latin1', 36, 40), 'data');
  assert.is(bytes.readUInt32LE(40), bytes.length - 44);
  return { rate: bytes.readUInt32LE(24), samples: new Int16Array(bytes.buffer.slice(bytes.byteOffset + 44, bytes.byteOffset + bytes.length)) };
}

const SHORT = ['--seed', '7', '--max-new-tokens', '12', 'hello.'];

test('help, version and voices are on standard output', async () => {
  const [help, version, voices] = await Promise.all([bark(['--help']), bark(['--version']), bark(['voices', '--json'])]);
  assert.is(help.code, 0);
  for (const part of ['Usage: bark "text"', '-v, --voice NAME', '-o, --output FILE', '--greedy', 'Exit codes']) assert.ok(help.stdout.includes(part), part);
  assert.is(help.stderr, '');
  assert.match(version.stdout.toString(), /^\d+\.\d+\.\d+\n$/);
  assert.equal(JSON.parse(voices.stdout.toString()), ['demo/ada', 'demo/ada_2']);
});

test('wrong usage ends with 2 before any work', async () => {
  writeFileSync(join(folder, 'blank.txt'), ' \n');
  await Promise.all([
    expectError(['--temprature', '1', 'hello.'], 2, /^error: --temprature: got an option that is not known; did you mean --temperature\?/),
    expectError([''], 2, /got an empty text, expected words to speak/),
    expectError(['--file', 'blank.txt'], 2, /got a text of white space/),
    expectError([], 2, /got an empty text/, { stdin: '' }),
    expectError(['--file', 'absent.txt'], 2, /absent\.txt: got no such file/),
  ]);
  await Promise.all([
    expectError(['-o', 'absent/hello.wav', 'hello.'], 2, /got no folder absent, expected one to write into/),
    expectError(['-o', '.', 'hello.'], 2, /got a folder, expected the path of a file/),
    expectError(['-v', 'demo/adda', 'hello.'], 2, /Voice "demo\/adda": got no such name and no such file.*near: demo\/ada/),
    expectError(['--seed', '1.5', 'hello.'], 2, /--seed: got "1.5", expected a whole number from 0/),
    expectError(['--json', '-o', '-', 'hello.'], 2, /--json: got it with -o -/),
  ]);
  await Promise.all([
    expectError(['--model', 'absent', 'hello.'], 1, /absent: got no such folder, expected one with config\.json/),
    expectError(['bench'], 2, /bark bench: is not here yet/),
    expectError(['doctor', 'hello'], 2, /To speak these words, put them in quotes: bark "doctor hello"/),
  ]);
});

test('--json tells what -o wrote, and the library says the same', async () => {
  const { code, stdout, stderr } = await bark(['--json', '-o', 'hello.wav', '-v', 'demo/ada', ...SHORT]);
  assert.is(code, 0, stderr);
  const told = JSON.parse(stdout.toString());
  const { rate, samples } = readWav(readFileSync(join(folder, 'hello.wav')));
  assert.equal(told.audio, { sampling_rate: rate, duration: samples.length / rate, samples: samples.length });
  assert.equal([told.text, told.voice, told.output, told.seed, told.dtype, told.offload, told.model], ['hello.', 'demo/ada', 'hello.wav', 7, 'float16', false, null]);
  assert.equal(told.tokens.fine.slice(0, 2), told.tokens.coarse);
  assert.is(told.warnings.some((warning: string) => warning.includes('cut at 12 semantic tokens')), true);
  assert.is(told.timings.semantic > 0 && told.timings.total >= told.timings.fine && told.memory.peak > 0 && told.adapter.length > 0, true);
  assert.match(stderr, /built-in demo voice/);
  for (const stage of ['load', 'semantic', 'coarse', 'fine', 'codec']) assert.match(stderr, new RegExp(`^${stage} +\\d+\\.\\d\\d s  `, 'm'));
  assert.match(stderr, /^semantic .* 12 tokens, [\d.]+\/s$/m);
  assert.match(stderr, /real-time factor/);

  const device = await testDevice();
  const model = await BarkModel.fromPretrained(undefined, { device });
  const inputs = await (await BarkProcessor.fromPretrained()).encode('hello.', { voicePreset: 'demo/ada' });
  const output = await model.generate(inputs, { seed: 7, semantic: { maxNewTokens: 12 } });
  assert.equal(told.tokens.semantic, [...output.tokens[0]!.semantic]);
  assert.equal(told.tokens.fine.flat(), [...output.tokens[0]!.fine]);
  model.dispose();
});

test('-o - is a WAV on standard output and nothing else; --quiet is quiet', async () => {
  const { code, stdout, stderr } = await bark(['-q', '-o', '-', ...SHORT]);
  assert.is(code, 0, stderr);
  const { rate, samples } = readWav(stdout);
  assert.is(rate, 24000);
  assert.ok(samples.length > 0 && samples.some((sample) => sample !== 0));
  assert.not.match(stderr, /^(semantic|load|Speaking)/m);
});

test('--greedy draws nothing: two seeds, the same tokens. Text from standard input is played, or kept where nothing can play', async () => {
  // The only players on these PATHs: none, and two of which the first finds no sound device.
  const players = join(folder, 'players');
  mkdirSync(players);
  writeFileSync(join(players, 'paplay'), '#!/bin/sh\nexit 1\n', { mode: 0o755 });
  writeFileSync(join(players, 'aplay'), '#!/bin/sh\nexec /bin/cat "$2" > played.wav\n', { mode: 0o755 });
  const runs = process.platform === 'linux' ? [['1', '', 'bark.wav'], ['2', players, null]] as const : [['1', '', 'bark.wav'], ['2', '', 'bark.wav']] as const;
  const tokens: unknown[] = [];
  for (const [seed, PATH, output] of runs) {
    const { code, stdout, stderr } = await bark(['--json', '--greedy', '--offload', '--max-new-tokens', '6', '--seed', seed], { stdin: 'hello.\n', env: { PATH } });
    assert.is(code, 0, stderr);
    const told = JSON.parse(stdout.toString());
    assert.is(told.output, output);
    assert.is(told.memory.owners['semantic.weights'].current, 0);
    tokens.push(told.tokens);
  }
  assert.equal(tokens[0], tokens[1]);
  const kept = readFileSync(join(folder, 'bark.wav'));
  readWav(kept);
  if (process.platform === 'linux') assert.equal(readFileSync(join(folder, 'played.wav')), kept);
});

test('an interrupt ends soon, with 130 and no file', async () => {
  let at = 0;
  const text = 'one two three four five six seven eight nine ten eleven twelve.';
  const result = await bark(['-o', 'never.wav', text], {
    watch(stderr, kill) {
      if (at > 0 || !/^load /m.test(stderr)) return;
      at = performance.now();
      kill('SIGINT');
    },
  });
  const took = performance.now() - at;
  assert.is(result.code, 130, result.stderr);
  assert.ok(at > 0 && took < 2000, `${took} ms`);
  assert.not.match(result.stderr, /error:/);
  assert.not.match(result.stderr, STACK);
  assert.equal(readdirSync(folder).filter((name) => name.includes('never')), []);
});

test('a reader that leaves is no error', async () => {
  const result = await bark(['-o', '-', ...SHORT], { watch: (_stderr, _kill, closeOutput) => closeOutput() });
  assert.is(result.code, 0, result.stderr);
  assert.not.match(result.stderr, /error:|EPIPE/);
});

test('without an adapter the reason is told; doctor tells the rest', async () => {
  if (process.platform !== 'linux') return console.log('skip: only Linux lets a test hide the drivers');
  const env = { VK_DRIVER_FILES: '/absent.json', VK_ICD_FILENAMES: '/absent.json' };
  const [, none, some] = await Promise.all([expectError(['hello.'], 1, /got no adapter, expected a GPU or a software driver\. Install a Vulkan driver/, { env }), bark(['doctor'], { env }), bark(['doctor', '--json'])]);
  assert.is(none.code, 1);
  assert.match(none.stdout.toString(), /^adapter +none$/m);
  assert.match(none.stdout.toString(), /^problem +WebGPU: got no adapter/m);
  const found = JSON.parse(some.stdout.toString());
  assert.is(some.code, 0, some.stdout.toString());
  assert.is(found.ok, true);
  assert.match(found.selfTest, /is exact/);
  assert.ok(found.limits.maxBufferSize > 0 && found.features.length > 0);
});

test.run();
