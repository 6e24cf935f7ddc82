// The command as a user meets it: a process with arguments, two streams and an exit code. It speaks
// with the demo voice, in short texts.
// Needs: a device, on wasm.

import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { readArguments } from '../../../bark/command/arguments.ts';
import { UsageError } from '../../../bark/command/option_table.ts';
import { BarkModel, BarkProcessor } from '../../../bark/index.ts';
import { Progress } from '../../../bark/command/progress.ts';
import { say } from '../../../bark/command/say.ts';
import { testDevice } from '../../device.ts';
import { DEMO, folder, STACK, bark, expectError, readWav } from './run_command.ts';

const test = suite('cli');

const SHORT = ['--seed', '7', '--max-new-tokens', '12', 'hello.'];

test('help, version and voices are on standard output', async () => {
  const [help, version, voices] = await Promise.all([
    bark(['--help']),
    bark(['--version']),
    bark(['voices', '--json']),
  ]);
  assert.is(help.code, 0);
  for (const part of ['Usage: bark "text"', '-v, --voice NAME', '-o, --output FILE', '--greedy', 'Exit codes'])
    assert.ok(help.stdout.includes(part), part);
  assert.is(help.stderr, '');
  assert.match(version.stdout.toString(), /^\d+\.\d+\.\d+\n$/);
  assert.equal(JSON.parse(voices.stdout.toString()), [
    { name: 'demo/ada', language: null },
    { name: 'demo/ada_2', language: null },
  ]);
});

test('wrong usage ends with 2 and what is not there with 1, before any work', async () => {
  await Promise.all([
    expectError(
      ['--temprature', '1', 'hello.'],
      2,
      /^error: --temprature: got an option that is not known; did you mean --temperature\?/,
    ),
    expectError([], 2, /got an empty text/, { stdin: '' }),
    expectError(
      ['-v', 'v2/en_speaker_6', 'hello.'],
      2,
      /--voice: got v2\/en_speaker_6 without --model.*Add --model suno\/bark-small/,
    ),
    expectError(
      ['-v', 'demo/adda', 'hello.'],
      2,
      /Voice "demo\/adda": got no such name and no such file.*near: demo\/ada/,
    ),
    expectError(
      ['--model', 'absent', 'hello.'],
      1,
      /absent: got no such folder, expected one with a model's files.*a model of the Hub is written org\/name/,
    ),
  ]);
});

test('what say refuses before a model is opened', async () => {
  writeFileSync(join(folder, 'blank.txt'), ' \n');
  const cases: [string[], RegExp][] = [
    [[''], /got an empty text, expected words to speak/],
    [['--file', join(folder, 'blank.txt')], /got a text of white space/],
    [['--file', join(folder, 'absent.txt')], /absent\.txt: got no such file/],
    [['-o', join(folder, 'absent/hello.wav'), 'hello.'], /got no folder .*absent, expected one to write into/],
    [['-o', folder, 'hello.'], /got a folder, expected the path of a file/],
    [['--json', '-o', '-', 'hello.'], /--json: got it with -o -/],
    [['--greedy', '--min-eos-p', '0.1', 'hello.'], /--greedy: got it with --min-eos-p, expected one of them/],
  ];
  const progress = new Progress({ write: () => assert.unreachable('printed') });
  const print = () => assert.unreachable('printed') as never;
  for (const [args, message] of cases) {
    const error: unknown = await say(readArguments(args), {
      progress,
      signal: new AbortController().signal,
      print,
    }).catch((caught: unknown) => caught);
    assert.instance(error, UsageError, args.join(' '));
    assert.match((error as Error).message, message);
  }
});

test('--json tells what -o wrote, and the library says the same', async () => {
  const { code, stdout, stderr } = await bark(['--json', '-o', 'hello.wav', '-v', 'demo/ada', ...SHORT]);
  assert.is(code, 0, stderr);
  const told = JSON.parse(stdout.toString());
  const { rate, samples } = readWav(readFileSync(join(folder, 'hello.wav')));
  assert.equal(told.audio, { sampling_rate: rate, duration: samples.length / rate, samples: samples.length });
  assert.equal(
    [told.text, told.voice, told.output, told.seed, told.dtype, told.offload, told.model],
    ['hello.', 'demo/ada', 'hello.wav', 7, 'float16', false, null],
  );
  assert.equal(told.tokens.fine.slice(0, 2), told.tokens.coarse);
  assert.is(
    told.warnings.some((warning: string) => warning.includes('cut at 12 semantic tokens')),
    true,
  );
  assert.is(
    told.timings.semantic > 0 &&
      told.timings.total >= told.timings.fine &&
      told.memory.peak > 0 &&
      told.adapter.length > 0,
    true,
  );
  assert.match(stderr, /built-in demo voice/);
  for (const stage of ['load', 'semantic', 'coarse', 'fine', 'codec'])
    assert.match(stderr, new RegExp(`^${stage} +\\d+\\.\\d\\d s  `, 'm'));
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

test('--greedy draws nothing: two seeds, the same tokens. Text from standard input is played, or kept where nothing can play', async () => {
  // The only players on these PATHs: none, and two of which the first finds no sound device.
  const players = join(folder, 'players');
  mkdirSync(players);
  writeFileSync(join(players, 'paplay'), '#!/bin/sh\nexit 1\n', { mode: 0o755 });
  writeFileSync(join(players, 'aplay'), '#!/bin/sh\nexec /bin/cat "$2" > played.wav\n', { mode: 0o755 });
  const runs =
    process.platform === 'linux'
      ? ([
          ['1', '', 'bark.wav'],
          ['2', players, null],
        ] as const)
      : ([
          ['1', '', 'bark.wav'],
          ['2', '', 'bark.wav'],
        ] as const);
  const tokens = await Promise.all(
    runs.map(async ([seed, PATH, output]) => {
      const { code, stdout, stderr } = await bark(
        ['--json', '--greedy', '--offload', '--max-new-tokens', '6', '--seed', seed],
        { stdin: 'hello.\n', env: { PATH } },
      );
      assert.is(code, 0, stderr);
      const told = JSON.parse(stdout.toString());
      assert.is(told.output, output);
      assert.is(told.memory.owners['semantic.weights'].current, 0);
      return told.tokens as unknown;
    }),
  );
  assert.equal(tokens[0], tokens[1]);
  const kept = readFileSync(join(folder, 'bark.wav'));
  readWav(kept);
  if (process.platform === 'linux') assert.equal(readFileSync(join(folder, 'played.wav')), kept);
});

test('a random seed is told, and with it the same is said again; the warning names the option', async () => {
  const brief = ['--json', '-o', 'lucky.wav', '--max-new-tokens', '12', 'hello.'];
  const first = await bark(brief);
  assert.is(first.code, 0, first.stderr);
  const [, seed] = /^seed (\d+): --seed \1 gives this reading again$/m.exec(first.stderr) ?? [];
  const told = JSON.parse(first.stdout.toString());
  assert.is(String(told.seed), seed);
  assert.match(first.stderr, /cut at 12 semantic tokens\. Split the text, or raise --max-new-tokens up to 247\.$/m);
  const second = await bark(['--seed', seed!, ...brief]);
  assert.equal(JSON.parse(second.stdout.toString()).tokens, told.tokens);
  assert.not.match(second.stderr, /^seed/m);
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
  assert.equal(
    readdirSync(folder).filter((name) => name.includes('never')),
    [],
  );
});

test('a reader that leaves is no error', async () => {
  const result = await bark(['voices'], { started: (_kill, closeOutput) => closeOutput() });
  assert.is(result.code, 0, result.stderr);
  assert.is(result.stderr, '');
});

test('voices by language', async () => {
  const model = join(folder, 'voices');
  mkdirSync(model);
  writeFileSync(join(model, 'tokenizer.json'), readFileSync(join(DEMO, 'tokenizer.json')));
  const paths = { semantic_prompt: 's.npy', coarse_prompt: 'c.npy', fine_prompt: 'f.npy' };
  const names = ['announcer', 'v2/de_speaker_1', 'v2/en_speaker_6', 'de_speaker_1'];
  writeFileSync(
    join(model, 'speaker_embeddings_path.json'),
    JSON.stringify({ repo_or_path: 'x', ...Object.fromEntries(names.map((name) => [name, paths])) }),
  );
  const [text, json] = await Promise.all([
    bark(['voices', '-m', 'voices']),
    bark(['voices', '-m', 'voices', '--json']),
  ]);
  assert.is(
    text.stdout.toString(),
    'English\n  v2/en_speaker_6\n\nGerman\n  v2/de_speaker_1  de_speaker_1\n\nOther\n  announcer\n',
  );
  assert.equal(JSON.parse(json.stdout.toString())[1], { name: 'v2/de_speaker_1', language: 'de' });
});

test('convert writes a folder, once; its report on standard output', async () => {
  const { code, stdout, stderr } = await bark(['convert', DEMO, 'converted', '--json']);
  assert.is(code, 0, stderr);
  const report = JSON.parse(stdout.toString());
  assert.equal(
    [report.folder, report.missing, report.tensors > 100, report.bytes > 1e6],
    ['converted', [], true, true],
  );
  assert.match(stderr, /^convert   model\.safetensors  [\d.]+ MB in /m);
  for (const warning of report.warnings) assert.ok(stderr.includes(`warning: ${warning}`), warning);
  const [voices] = await Promise.all([
    bark(['voices', '-m', 'converted', '--json']),
    // Nothing listens there: had it been asked first, the error would be another.
    expectError(['convert', 'org/demo', 'converted'], 2, /converted: got a folder that is not empty.*--force/, {
      env: { HF_ENDPOINT: 'http://127.0.0.1:1' },
    }),
    expectError(
      ['convert', 'org/demo', 'converted/config.json/x'],
      2,
      /which is a file, expected a folder to write into/,
      { env: { HF_ENDPOINT: 'http://127.0.0.1:1' } },
    ),
  ]);
  assert.is(JSON.parse(voices.stdout.toString()).length, 2);
  const forced = await bark(['convert', DEMO, 'converted', '--force', '--no-voices', '--quiet', '--dtype', 'float32']);
  assert.is(forced.code, 0, forced.stderr);
  assert.is(forced.stdout.length, 0);
  assert.not.match(forced.stderr, /^convert/m);
  assert.is(existsSync(join(folder, 'converted', 'speaker_embeddings_path.json')), false);
});

test.run();
