// What the bench's arguments mean, without starting it.
// Needs: no device.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { UsageError } from '../../bark/command/option_table.ts';
import { benchHelp, readBenchArguments } from '../../bench/options.ts';

const test = suite('options');

const refused = (args: string[], message: RegExp) => {
  try {
    readBenchArguments(args);
  } catch (error) {
    assert.instance(error, UsageError);
    assert.match((error as Error).message, message);
    assert.not.match((error as Error).message, /\n/);
    return;
  }
  assert.unreachable(`bark bench ${args.join(' ')} was accepted`);
};

test('bench takes suites, and its options', () => {
  assert.equal(
    readBenchArguments([
      'decode',
      '--quick',
      'kernels',
      '--repeats',
      '2',
      '--model=large',
      '--tune',
      '--json',
      '--dtype',
      'float16',
      '--cold',
      '--dir',
      'd',
      '--backend',
      'wasm',
      '--threads=2',
    ]),
    {
      words: ['decode', 'kernels'],
      values: {
        quick: true,
        repeats: 2,
        model: 'large',
        tune: true,
        json: true,
        dtype: 'float16',
        cold: true,
        dir: 'd',
        backend: 'wasm',
        threads: 2,
      },
    },
  );
  assert.equal(readBenchArguments([]), { words: [], values: {} });
  for (const wrong of ['0', '1.5', '1000', 'x'])
    refused(['--repeats', wrong], new RegExp(`--repeats: got "${wrong}", expected a whole number from 1 to 999`));
  refused(['--backend', 'cuda'], /--backend: got "cuda", expected webgpu or wasm/);
  refused(['--threads', '0'], /--threads: got "0", expected a whole number from 1 to 64/);
  refused(['--seed', '1'], /--seed: got it with 'bark bench', expected --model/);
  refused(['--qiuck'], /did you mean --quick\?/);
  assert.match(benchHelp([]), /--model MODEL +small \(default\), large, tiny/);
  assert.match(benchHelp([]), /--dtype TYPE +float16 or float32; default: both/);
  assert.match(benchHelp([{ name: 'decode', about: 'one token' }]), /\n {2}decode {4}one token$/);
  for (const line of benchHelp([]).split('\n')) assert.ok(line.length <= 110, line);
});

test.run();
