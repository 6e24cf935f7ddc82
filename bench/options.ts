// The bench's own options, as `bark bench …` and `npm run bench -- …` take them.

import {
  dtype,
  nearestOption,
  number,
  optionLines,
  readOption,
  tokensOf,
  unknownOption,
  UsageError,
  type Option,
  type ValuesOf,
} from '../bark/command/option_table.ts';
import { MOST_THREADS } from '../runtime/host/threads.ts';
import { BACKENDS } from './measure/machine.ts';

const OPTIONS = {
  model: { short: 'm', value: 'MODEL', about: 'small (default), large, tiny, or the path of a folder' },
  backend: {
    value: 'NAME',
    about: `${BACKENDS.join(' or ')}; default: what the library chooses`,
    read: (text) => BACKENDS.find((name) => name === text),
    expected: BACKENDS.join(' or '),
  },
  threads: {
    value: 'N',
    about: 'of wasm, and of its peers; default: as many as run at once',
    read: number((n) => Number.isInteger(n) && n >= 1 && n <= MOST_THREADS),
    expected: `a whole number from 1 to ${MOST_THREADS}`,
  },
  dtype: { value: 'TYPE', about: 'float16 or float32; default: both', ...dtype },
  quick: { about: 'few repetitions: under a minute a suite on a software adapter' },
  tune: { about: 'find out in 30 s what suits this adapter best, and remember it' },
  repeats: {
    value: 'N',
    about: 'measure so often; default: 5, with --quick 3',
    read: number((n) => Number.isInteger(n) && n >= 1 && n <= 999),
    expected: 'a whole number from 1 to 999',
  },
  cold: { about: 'load: also with the file not in memory (Linux)' },
  dir: {
    value: 'FOLDER',
    about: "where checkpoints made on the fly are kept; default: in the system's temporary one",
  },
  json: { about: 'print one JSON object a line' },
  help: { short: 'h', about: 'show this' },
  version: { about: 'show the version' },
} satisfies Record<string, Option>;

export interface BenchArguments {
  /** Names of suites. */
  words: string[];
  values: ValuesOf<typeof OPTIONS>;
}

/** Throws `UsageError`, whose message is one line. */
export function readBenchArguments(args: readonly string[]): BenchArguments {
  const words: string[] = [];
  const values: Record<string, unknown> = {};
  for (const token of tokensOf(args, OPTIONS)) {
    if (token.kind === 'positional') words.push(token.value);
    if (token.kind !== 'option') continue;
    const option = Object.hasOwn(OPTIONS, token.name) ? (OPTIONS as Record<string, Option>)[token.name] : undefined;
    if (!option)
      throw nearestOption(token.rawName, OPTIONS) ? unknownOption(token.rawName, OPTIONS) : misplaced(token.rawName);
    readOption(values, token, option);
  }
  return { words, values: values as BenchArguments['values'] };
}

/** Most likely an option of `bark` itself. */
const misplaced = (name: string): UsageError =>
  new UsageError(
    `${name}: got it with 'bark bench', expected ${Object.keys(OPTIONS)
      .map((option) => `--${option}`)
      .join(', ')}. Leave it out.`,
  );

/** The text of `bark bench --help`; `suites` are their names with what each measures. */
export function benchHelp(suites: readonly { readonly name: string; readonly about: string }[]): string {
  return [
    'Usage: bark bench [SUITE …]',
    '       bark bench --tune',
    '',
    'Times this library on this adapter. Nothing is timed before its result has been checked.',
    'With --tune, which kernels and sizes to use is measured and remembered, by adapter and version.',
    '',
    'Options',
    ...optionLines(OPTIONS),
    '',
    'Environment',
    '  BARK_TUNING    the file that --tune writes and every device reads, or off to use none;',
    '                 default: bark-webgpu/tuning.json in the cache folder of the user',
    '  BARK_ADAPTER   part of the name of the adapter to use',
    '  BARK_DAWN_TOGGLES   toggles of Dawn (Node), such as disable_robustness,-timestamp_quantization',
    '',
    'Suites (default: all but peers)',
    ...suites.map(({ name, about }) => `  ${name.padEnd(10)}${about}`),
  ].join('\n');
}
