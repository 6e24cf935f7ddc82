// What the command's arguments mean, without starting it.
// Needs: no device.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { benchArguments, hubOptions, readArguments } from '../../../bark/command/arguments.ts';
import { UsageError } from '../../../bark/command/option_table.ts';
import { help } from '../../../bark/command/help.ts';

const test = suite('arguments');

const refused = (args: string[], message: RegExp) => {
  try {
    readArguments(args);
  } catch (error) {
    assert.instance(error, UsageError);
    assert.match((error as Error).message, message);
    assert.not.match((error as Error).message, /\n/);
    return;
  }
  assert.unreachable(`bark ${args.join(' ')} was accepted`);
};

test('words, short and long options, in any order', () => {
  assert.equal(
    readArguments([
      'Hello,',
      '-v',
      'v2/en_speaker_6',
      'world',
      '-ohello.wav',
      '--seed=7',
      '--temperature',
      '0.7',
      '--greedy',
    ]),
    {
      command: 'say',
      words: ['Hello,', 'world'],
      values: { voice: 'v2/en_speaker_6', output: 'hello.wav', seed: 7, temperature: 0.7, greedy: true },
    },
  );
  assert.equal(readArguments(['-qo', '-', 'x']).values, { quiet: true, output: '-' });
});

test('commands, and the same words as text', () => {
  assert.is(readArguments(['voices', '--model', 'm']).command, 'voices');
  assert.equal(readArguments(['--', 'voices', '--seed', '-x']), {
    command: 'say',
    words: ['voices', '--seed', '-x'],
    values: {},
  });
  assert.equal(readArguments(['voices of spring']).words, ['voices of spring']);
  assert.is(readArguments(['constructor']).command, 'say');
  assert.equal(readArguments(['--', 'bench']).command, 'say');
  refused(['voices', '--seed', '1'], /--seed: got it with 'bark voices', expected --model/);
  refused(['voices', 'of'], /bark "voices of"/);
});

test('convert takes two places, and its options', () => {
  assert.equal(
    readArguments([
      'convert',
      'suno/bark-small',
      'out',
      '--dtype',
      'float32',
      '--force',
      '--no-voices',
      '--json',
      '--quiet',
    ]),
    {
      command: 'convert',
      words: ['suno/bark-small', 'out'],
      values: { dtype: 'float32', force: true, 'no-voices': true, json: true, quiet: true },
    },
  );
  assert.equal(readArguments(['convert', '--', '-in', '-out']).words, ['-in', '-out']);
  refused(['convert'], /bark convert: got no arguments, expected two, the model and the folder to write/);
  refused(['convert', 'a'], /bark convert: got "a", expected two/);
  refused(['convert', 'a', 'b', 'c'], /bark convert: got "a" "b" "c", expected two/);
  refused(['convert', 'a', 'b', '--dtype', 'int8'], /--dtype: got "int8", expected float16 or float32/);
  refused(['convert', 'a', 'b', '-v', 'x'], /-v: got it with 'bark convert'/);
  refused(['--force', 'hello'], /--force: got it with 'bark say'/);
  assert.is(readArguments(['convert', '--help']).values.help, true);
});

test('the arguments of bench are its own, unread and in their order', () => {
  assert.equal(benchArguments(['bench', 'decode', '--quick', '--nonsense', '--', 'x']), [
    'decode',
    '--quick',
    '--nonsense',
    '--',
    'x',
  ]);
  assert.equal(benchArguments(['--json', 'bench']), ['--json']);
  for (const other of [[], ['hello'], ['--', 'bench'], ['say', 'bench'], ['-o', 'bench', 'hello']])
    assert.is(benchArguments(other), undefined, other.join(' '));
});

test('options of the Hub, with a model; a token is no option', () => {
  const { values } = readArguments([
    '-m',
    'suno/bark',
    '--revision',
    'refs/pr/25',
    '--cache-dir',
    '/tmp/x',
    '--offline',
    '--codec',
    'c',
    '--tokenizer',
    't',
    'hi',
  ]);
  assert.equal(hubOptions(values), { revision: 'refs/pr/25', cacheDir: '/tmp/x', localFilesOnly: true });
  assert.equal([values.codec, values.tokenizer], ['c', 't']);
  assert.equal(hubOptions(readArguments(['hi']).values), {
    revision: undefined,
    cacheDir: undefined,
    localFilesOnly: undefined,
  });
  for (const name of ['--revision', '--codec', '--tokenizer'])
    refused([name, 'x', 'hi'], new RegExp(`${name}: got it without --model`));
  refused(['--token', 'hf_x', 'hi'], /--token: got an option that is not known/);
});

test('values are checked', () => {
  refused(['--seed', '-1', 'x'], /--seed: got "-1", expected a whole number from 0/);
  refused(['--seed', '', 'x'], /--seed: got no value/);
  refused(['--seed=9007199254740993'], /expected a whole number/);
  refused(['--temperature', '0'], /--temperature: got "0", expected a number above 0/);
  refused(['--dtype', 'bf16'], /--dtype: got "bf16", expected float16 or float32/);
  refused(['--min-eos-p', '1.5', 'x'], /--min-eos-p: got "1.5", expected a probability from 0 \(off\) to 1/);
  assert.is(readArguments(['--min-eos-p', '0', 'x']).values['min-eos-p'], 0);
  refused(['--max-new-tokens', '0'], /a whole number from 1/);
  refused(['-o', '--seed', '3'], /-o: got no value, expected FILE/);
  refused(['x', '-o'], /-o: got no value/);
  refused(['--greedy=yes'], /--greedy: got the value "yes", expected none/);
});

test('an unknown option names the nearest', () => {
  refused(['--ouput', 'a.wav'], /did you mean --output\?/);
  refused(['--voise=x'], /did you mean --voice\?/);
  refused(['-z'], /-z: got an option that is not known, expected .*-v/);
  refused(['--constructor'], /--constructor: got an option/);
});

test('the help has every option once, and fits a terminal', () => {
  const text = help('say');
  for (const name of [
    'voice',
    'output',
    'model',
    'file',
    'seed',
    'temperature',
    'greedy',
    'min-eos-p',
    'max-new-tokens',
    'dtype',
    'offload',
    'portable',
    'revision',
    'cache-dir',
    'offline',
    'codec',
    'tokenizer',
    'json',
    'quiet',
    'help',
    'version',
  ]) {
    assert.is(text.split(`--${name} `).length > 1, true, name);
  }
  for (const command of ['say', 'voices', 'convert', 'doctor'] as const)
    for (const line of help(command).split('\n')) assert.ok(line.length <= 110, line);
  for (const name of ['HF_HOME', 'HF_HUB_CACHE', 'HF_TOKEN', 'HF_HUB_OFFLINE', 'HF_ENDPOINT'])
    for (const command of ['say', 'voices', 'convert'] as const) assert.ok(help(command).includes(`  ${name} `), name);
  assert.not.match(help('voices'), /--seed|--codec|--force/);
  assert.match(help('convert'), /--force/);
});

test.run();
