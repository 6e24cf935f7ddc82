// Mistakes at the command's door: wrong usage ends with 2 before anything is opened, fetched or
// loaded. Rows that start the command have its exit code as their code; the others call its reader
// of arguments.
// Needs: no device.

import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { RawAudio } from '../../bark/audio.ts';
import { readArguments } from '../../bark/command/arguments.ts';
import { checkBareWord, looksLikeCommand } from '../../bark/command/bare_word.ts';
import { UsageError } from '../../bark/command/option_table.ts';
import { readBenchArguments } from '../../bench/options.ts';
import { bark, DEMO, folder } from '../bark/command/run_command.ts';
import { testMistakes, type Mistake } from './table.ts';

const test = suite('mistakes of the command');

/** Nothing listens there: were a model asked for, the error would be another, and the code 1. */
const NOWHERE = { HF_ENDPOINT: 'http://127.0.0.1:1' };
const REMOTE = ['-m', 'org/model'];

/** The command's one line of error, thrown with its exit code. */
async function started(args: string[]): Promise<void> {
  const { code, stdout, stderr } = await bark(args, { env: NOWHERE });
  const errors = stderr.split('\n').filter((line) => line.startsWith('error: '));
  assert.equal([errors.length, stdout.length], [1, 0], stderr);
  assert.not.match(stderr, /^(download|load|convert) |^\s+at .*\.[jt]s:\d/m);
  throw Object.assign(new Error(errors[0]!.slice('error: '.length)), { code: String(code) });
}

const read = (says: RegExp, ...args: string[]): Mistake => ({
  door: 'bark',
  mistake: args.join(' '),
  make: () => readArguments(args),
  says,
  code: 'ERR_USAGE',
});

const start = (says: RegExp, ...args: string[]): Mistake => ({
  door: 'bark, started',
  mistake: args.map((arg) => (arg.length > 60 ? `${arg.slice(0, 20)}…` : arg)).join(' '),
  make: () => started(args),
  says,
  code: '2',
});

const save = (says: RegExp, path: unknown): Mistake => ({
  door: 'RawAudio.save',
  mistake: String(path),
  make: () => new RawAudio(new Float32Array(4), 24000).save(path as string),
  says,
});

const TEXT_IS_ARGUMENT = /not known, expected the text itself, as an argument: bark "Hello\."/;
const NO_SPEED = /not known, expected none: Bark has no such setting.*atempo=/;

testMistakes(test, [
  // An option twice: the last won in silence.
  read(/^-v: got --voice twice, first as "a", then as "b", expected it once\. Leave one out\./, '-v', 'a', '-v', 'b'),
  read(/^--voice: got --voice twice, first as "a"/, '-v', 'a', 'hello', '--voice=b'),
  read(/^--seed: got --seed twice, first as 1, then as 1, expected/, '--seed', '1', '--seed', '1', 'hello'),
  read(/^-m: got --model twice/, 'voices', '-m', 'a', '-m', 'a'),
  read(/^--dtype: got --dtype twice/, 'convert', 'a', 'b', '--dtype', 'fp16', '--dtype', 'float16'),
  {
    door: 'bark bench',
    mistake: '--repeats 3 --repeats 4',
    make: () => readBenchArguments(['--repeats', '3', '--repeats', '4']),
    says: /^--repeats: got --repeats twice, first as 3, then as 4/,
    code: 'ERR_USAGE',
  },

  // Options of suno's command, of bark.cpp and of other programs.
  read(TEXT_IS_ARGUMENT, '--text', 'hello'),
  read(TEXT_IS_ARGUMENT, '--text=hello'),
  read(TEXT_IS_ARGUMENT, '--prompt', 'hello'),
  read(TEXT_IS_ARGUMENT, '-p', 'hello'),
  read(/^--history_prompt: .* did you mean --voice\?/, '--history_prompt', 'v2/en_speaker_6'),
  read(/^--voice_preset: .* did you mean --voice\?/, '--voice_preset', 'v2/en_speaker_6'),
  read(/^--text_temp: .* did you mean --temperature\? It is that of all stages/, '--text_temp', '0.7'),
  read(/^--waveform_temp: .* did you mean --temperature\?/, '--waveform_temp', '0.7'),
  read(/^--output_filename: .* did you mean --output\?/, '--output_filename', 'a.wav'),
  read(/^--output_dir: .* did you mean --output\? .*-o folder\/hello\.wav/, '--output_dir', 'out'),
  read(/^--output_full: .* did you mean --json\?/, '--output_full', 'True'),
  read(/^--silent: .* did you mean --quiet\?/, '--silent', 'True'),
  read(/^--outwav: .* did you mean --output\?/, '--outwav', 'a.wav'),
  read(/^-s: .* did you mean --seed\?/, '-s', '1'),
  read(/^-t: .* did you mean --threads\?/, '-t', '8'),
  read(/^--cpu: .* did you mean --backend\? The processor: --backend wasm\./, '--cpu'),
  read(/^--device: .* expected --backend webgpu or --backend wasm, the processor\. BARK_ADAPTER/, '--device', 'cuda'),
  read(/^--backend: got "cuda", expected auto, webgpu or wasm\.$/, '--backend', 'cuda'),
  read(/^--threads: got "0", expected a whole number from 1 to 64\.$/, '--threads', '0'),
  read(/^--token: .* expected none: .*HF_TOKEN/, '--token', 'hf_x'),
  read(/^--top_k: .* only the library has it/, '--top_k', '50'),
  read(/^--max_new_tokens: .* did you mean --max-new-tokens\?/, '--max_new_tokens', '5'),
  read(/^--CACHE_DIR: .* did you mean --cache-dir\?/, '--CACHE_DIR', 'x'),
  read(/^--torch_dtype: .* did you mean --dtype\?/, '--torch_dtype', 'float16'),
  read(/^--list-voices: .* expected the command: bark voices/, '--list-voices'),
  // Not "did you mean --seed?", nor any other that is only a little alike.
  read(NO_SPEED, '--speed', '1.2'),
  read(NO_SPEED, '--rate=1.2'),
  read(
    /^--stream: got an option that is not known, expected --voice, -v, --repair-voice, --output/,
    '--stream',
    'hello',
  ),
  read(/^--temp: .* did you mean --temperature\?/, '--temp', '0.7'),
  // The hint names no option that the command lacks.
  read(/^--history_prompt: got an option that is not known, expected --model/, 'voices', '--history_prompt', 'x'),

  read(
    /^--temperature: got "0", expected a number above 0 \(for the likeliest tokens --greedy\)/,
    '--temperature',
    '0',
  ),
  read(/^--dtype: got "int8", expected float16 or float32/, '--dtype', 'int8'),
  read(/^--dtype: got "constructor", expected float16/, '--dtype', 'constructor'),

  // Formats that are not built, and places that cannot be written: all before the model.
  start(
    /^--threads: got it with a GPU, expected the processor/,
    '--threads',
    '2',
    '--backend',
    'webgpu',
    'hello there',
  ),
  start(/^--portable: got it with --backend wasm, expected a GPU/, '--portable', '--backend', 'wasm', 'hello there'),
  start(
    /^x\.mp3: got a file name with \.mp3, expected \.wav, the only .*: ffmpeg -i bark\.wav bark\.mp3$/,
    ...REMOTE,
    '-o',
    'x.mp3',
    'hi',
  ),
  start(/^x\.FLAC: got a file name with \.flac, expected \.wav/, ...REMOTE, '--output=x.FLAC', 'hi'),
  start(/^x\.ogg: got a file name with \.ogg/, ...REMOTE, '-o=x.ogg', 'hi'),
  start(/^absent\/: got a folder, expected the path of a file/, ...REMOTE, '-o', 'absent/', 'hi'),
  start(/: got ENAMETOOLONG for its name/, ...REMOTE, '-o', `${'x'.repeat(300)}.wav`, 'hi'),
  start(/got no folder .*absent, expected one to write into/, ...REMOTE, '-o', 'absent/x.wav', '-f', 'absent.txt'),
  ...(process.platform === 'linux'
    ? [
        start(
          /^\/proc\/x\.wav: got E[A-Z]+ for writing there, expected a folder/,
          ...REMOTE,
          '-o',
          '/proc/x.wav',
          'hi',
        ),
        start(/^\/proc\/x\/y: got E[A-Z]+ for writing in \/proc, expected/, 'convert', 'org/model', '/proc/x/y'),
      ]
    : []),
  save(/^x\.flac: got a file name with \.flac, expected \.wav/, 'x.flac'),
  save(/^x\.npz: got a file name with \.npz, expected \.wav/, 'x.npz'),
  save(/\/x\.mp3: got a file name with \.mp3/, new URL('file:///x.mp3')),
  save(/^audio\.save: got undefined, expected /, undefined),
  save(
    /^save: got https:\/\/example\.org\/x\.wav, expected a path or a file: URL/,
    new URL('https://example.org/x.wav'),
  ),
  save(/absent\/: got a folder, expected the path of a file/, join(folder, 'absent/')),

  // A revision of what has none.
  start(
    /^--revision: got "v1" with the folder .*, expected a model of the Hub.* Leave it out\./,
    '-m',
    DEMO,
    '--revision',
    'v1',
    'hi',
  ),
  start(/^--revision: got "v1" with the folder \./, 'voices', '-m', '.', '--revision', 'v1'),
  start(/^--revision: got "v1" with the folder \./, 'convert', '.', 'out', '--revision', 'v1'),
  start(/^--revision: got "v1" with the URL http/, '-m', 'http://127.0.0.1:1/m', '--revision', 'v1', 'hi'),

  // What can only be on this machine, and is not.
  start(/^--voice: got "me\.npz", which is not here, expected the path of a \.npz/, ...REMOTE, '-v', 'me.npz', 'hi'),
  start(/^--codec: got "\.\/absent", which is not here, expected a folder/, ...REMOTE, '--codec', './absent', 'hi'),
  start(/^--tokenizer: got "absent", which is not here/, 'voices', ...REMOTE, '--tokenizer', 'absent'),

  // What the model's config files tell, before its weights.
  start(/^--max-new-tokens: got 249, expected a whole number from 1 to 248/, '--max-new-tokens', '249', 'hello there.'),
]);

test('what is accepted beside it', () => {
  for (const [given, dtype] of [
    ['fp16', 'float16'],
    ['fp32', 'float32'],
    ['float32', 'float32'],
  ] as const) {
    assert.is(readArguments(['--dtype', given, 'hi']).values.dtype, dtype);
    assert.is(readBenchArguments(['--dtype', given]).values.dtype, dtype);
  }
  assert.is(readArguments(['-o=a.wav', 'hi']).values.output, 'a.wav');
  assert.is(readArguments(['-q', '-q', 'hi']).values.quiet, true);
});

test('names that promise no other format are written', async () => {
  for (const name of ['a.wav', 'a.WAV', 'a.wave', 'plain', 'take.2', 'of.2024-05-01'])
    await new RawAudio(new Float32Array(4), 24000).save(join(folder, name));
});

test('one word that looks like a command, and what does not', () => {
  for (const args of [['serve'], ['Serve'], ['docter'], ['conver'], ['voice'], ['list'], ['help'], ['version']])
    assert.is(readArguments(args).bareWord, args[0], args.join(' '));
  for (const args of [
    ['run', './model'],
    ['download', 'suno/bark-small'],
  ])
    assert.is(readArguments(args).bareWord, args[0], args.join(' '));
  const texts = [['hello'], ['hello.'], ['peace'], ['no'], ['help me'], ['run', 'fast'], ['help', 'me.'], [], ['']];
  for (const words of texts) assert.is(looksLikeCommand(words), false, words.join(' '));
  assert.is(readArguments(['--', 'serve']).bareWord, undefined);
  assert.is(readArguments(['voices']).bareWord, undefined);
});

test('elsewhere than on a terminal such a word is warned of; so is the name of a file', async () => {
  writeFileSync(join(folder, 'story.txt'), 'Once.');
  const cases: [string[], RegExp | undefined][] = [
    [['serve'], /^warning: serve: got a word that looks like a command, expected voices, .*; bark -- serve is spoken/m],
    [['docter'], /^warning: docter: got a word .*Did you mean bark doctor\?/m],
    [['story.txt'], /^warning: story\.txt: got the name of a file .*bark --file story\.txt/m],
    [['--', 'serve'], undefined],
    [['hello.'], undefined],
  ];
  await Promise.all(
    cases.map(async ([words, warning]) => {
      const { code, stderr } = await bark(['-m', './absent', ...words]);
      assert.is(code, 1, stderr);
      if (warning) assert.match(stderr, warning);
      else assert.not.match(stderr, /^warning/m);
    }),
  );
});

test('on a terminal it is asked about: y speaks it, all else and the end of the input is wrong usage', async () => {
  const ask = async (typed: string | undefined, word = 'serve') => {
    const input = new PassThrough();
    const shown: string[] = [];
    const progress = { ask: (text: string) => shown.push(text), warn: () => assert.unreachable('warned') };
    const asking = { input, signal: new AbortController().signal };
    const asked = checkBareWord([word], looksLikeCommand([word]) ? word : undefined, progress, asking);
    input.end(typed);
    await asked;
    return shown;
  };
  assert.match((await ask('y\n')).join(), /looks like a command.* There is no server\. Speak it\? \[y\/N\] $/);
  for (const typed of ['n\n', '\n', undefined])
    await ask(typed).then(
      () => assert.unreachable(typed),
      (error: Error) => {
        assert.instance(error, UsageError);
        assert.match(error.message, /To speak it without a question: bark -- serve$/);
      },
    );
  assert.equal(await ask(undefined, 'hello'), []);
  const stop = new AbortController();
  const stopped = checkBareWord(
    ['serve'],
    'serve',
    { ask: () => {}, warn: () => {} },
    {
      input: new PassThrough(),
      signal: stop.signal,
    },
  );
  setTimeout(() => stop.abort(new Error('stopped')), 20);
  assert.is(await stopped.catch((error: Error) => error.message), 'stopped');
});

test('asking whether a folder can be written leaves nothing in it', async () => {
  const place = join(folder, 'place');
  mkdirSync(place);
  const { code } = await bark(['-m', './absent', '-o', join(place, 'a.wav'), 'hi']);
  assert.is(code, 1);
  assert.equal(readdirSync(place), []);
});

test.run();
