// What the command's arguments mean, without starting it.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { help, readArguments, UsageError } from '../../bark/arguments.ts';

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
  assert.equal(readArguments(['Hello,', '-v', 'v2/en_speaker_6', 'world', '-ohello.wav', '--seed=7', '--temperature', '0.7', '--greedy']), {
    command: 'say',
    words: ['Hello,', 'world'],
    values: { voice: 'v2/en_speaker_6', output: 'hello.wav', seed: 7, temperature: 0.7, greedy: true },
  });
  assert.equal(readArguments(['-qo', '-', 'x']).values, { quiet: true, output: '-' });
});

test('commands, and the same words as text', () => {
  assert.is(readArguments(['voices', '--model', 'm']).command, 'voices');
  assert.equal(readArguments(['--', 'voices', '--seed', '-x']), { command: 'say', words: ['voices', '--seed', '-x'], values: {} });
  assert.equal(readArguments(['voices of spring']).words, ['voices of spring']);
  assert.is(readArguments(['constructor']).command, 'say');
  refused(['convert', 'a', 'b'], /bark convert: is not here yet/);
  refused(['voices', '--seed', '1'], /--seed: got it with 'bark voices', expected --model/);
  refused(['voices', 'of'], /bark "voices of"/);
});

test('values are checked', () => {
  refused(['--seed', '-1', 'x'], /--seed: got "-1", expected a whole number from 0/);
  refused(['--seed', '', 'x'], /--seed: got no value/);
  refused(['--seed=9007199254740993'], /expected a whole number/);
  refused(['--temperature', '0'], /--temperature: got "0", expected a number above 0/);
  refused(['--dtype', 'fp16'], /--dtype: got "fp16", expected float16 or float32/);
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
  for (const name of ['voice', 'output', 'model', 'file', 'seed', 'temperature', 'greedy', 'max-new-tokens', 'dtype', 'offload', 'portable', 'json', 'quiet', 'help', 'version']) {
    assert.is(text.split(`--${name}`).length > 1, true, name);
  }
  for (const line of text.split('\n')) assert.ok(line.length <= 110, line);
  assert.not.match(help('voices'), /--seed/);
});

test.run();
