// The command's options: one table, from which both the parsing and the help are made. Knows no
// model and prints nothing.

import { parseArgs } from 'node:util';
import { nearestNames } from '../../runtime/base/messages.ts';
import type { HubOptions } from '../../runtime/sources/hub/settings.ts';

/**
 * Wrong usage: the command ends with code 2. The message is one line that says what was got, what
 * was expected and what to do.
 */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

export type Command = 'say' | 'voices' | 'convert' | 'doctor' | 'bench';

interface Option {
  readonly short?: string;
  /** What stands for the value in the help; without it the option is a switch. */
  readonly value?: string;
  readonly about: string;
  /** Where a command takes it for something else. */
  readonly otherwise?: Readonly<Partial<Record<Command, string>>>;
  readonly of: readonly Command[];
  /** Makes the value of a text; undefined where it is none. */
  readonly read?: (text: string) => unknown;
  /** What `read` expects, for its error. */
  readonly expected?: string;
}

const number = (allowed: (n: number) => boolean) => (text: string) => {
  const n = text.trim() === '' ? NaN : Number(text);
  return Number.isFinite(n) && allowed(n) ? n : undefined;
};
const wholeFrom = (least: number) => ({
  read: number((n) => Number.isSafeInteger(n) && n >= least),
  expected: `a whole number from ${least}`,
});
const oneOf = (...names: string[]) => ({
  read: (text: string) => (names.includes(text) ? text : undefined),
  expected: names.join(' or '),
});

const OPTIONS = {
  voice: {
    short: 'v',
    value: 'NAME',
    about: "one of the model's voices ('bark voices' lists them), or the path of a .npz",
    of: ['say'],
  },
  output: { short: 'o', value: 'FILE', about: 'write a WAV file; - for standard output', of: ['say'] },
  model: {
    short: 'm',
    value: 'MODEL',
    about: 'a folder or a Hub id, such as suno/bark-small; without it, the built-in demo voice',
    otherwise: { bench: 'small (default), large, tiny, or the path of a folder' },
    of: ['say', 'voices', 'bench'],
  },
  revision: {
    value: 'NAME',
    about: 'branch, tag or commit of a Hub model; default: main',
    of: ['say', 'voices', 'convert'],
  },
  'cache-dir': {
    value: 'FOLDER',
    about: 'where Hub files are kept; default: the one of Python, see HF_HOME below',
    of: ['say', 'voices', 'convert'],
  },
  offline: { about: 'use only Hub files that are here already, and no network', of: ['say', 'voices', 'convert'] },
  codec: {
    value: 'MODEL',
    about: "where suno's .pt files get their codec; default: the Hub's facebook/encodec_24khz",
    of: ['say', 'convert'],
  },
  tokenizer: {
    value: 'MODEL',
    about: "where they get tokenizer and voices; default: the Hub's suno/bark-small",
    of: ['say', 'voices', 'convert'],
  },
  file: { short: 'f', value: 'FILE', about: 'read the text from a file; - for standard input', of: ['say'] },
  seed: { value: 'N', about: 'the same seed says the same again', of: ['say'], ...wholeFrom(0) },
  temperature: {
    value: 'T',
    about: "of all stages, above 0; default: the model's own",
    of: ['say'],
    read: number((n) => n > 0),
    expected: 'a number above 0',
  },
  greedy: { about: 'always the likeliest token, as transformers does without sampling', of: ['say'] },
  'max-new-tokens': { value: 'N', about: 'cut the speech after N semantic tokens', of: ['say'], ...wholeFrom(1) },
  dtype: {
    value: 'TYPE',
    about: 'how weights are stored: float16 (default) or float32',
    otherwise: { bench: 'float16 or float32; default: both' },
    of: ['say', 'convert', 'bench'],
    ...oneOf('float16', 'float32'),
  },
  offload: { about: "keep only the running stage's weights on the GPU", of: ['say'] },
  portable: { about: 'use only core WebGPU: no subgroups, no shader-f16', of: ['say', 'doctor'] },
  force: { about: 'write over what is in OUT', of: ['convert'] },
  'no-voices': { about: 'leave the voices out', of: ['convert'] },
  quick: { about: 'few repetitions: under a minute a suite on a software adapter', of: ['bench'] },
  tune: { about: 'find out in 30 s what suits this adapter best, and remember it', of: ['bench'] },
  repeats: {
    value: 'N',
    about: 'measure so often; default: 5, with --quick 3',
    of: ['bench'],
    read: number((n) => Number.isInteger(n) && n >= 1 && n <= 999),
    expected: 'a whole number from 1 to 999',
  },
  cold: { about: 'load: also with the file not in memory (Linux)', of: ['bench'] },
  dir: {
    value: 'FOLDER',
    about: "where checkpoints made on the fly are kept; default: in the system's temporary one",
    of: ['bench'],
  },
  json: {
    about: 'print JSON on standard output',
    otherwise: { bench: 'print one JSON object a line' },
    of: ['say', 'voices', 'convert', 'doctor', 'bench'],
  },
  quiet: { short: 'q', about: 'no progress; warnings and errors only', of: ['say', 'voices', 'convert'] },
  help: { short: 'h', about: 'show this', of: ['say', 'voices', 'convert', 'doctor', 'bench'] },
  version: { about: 'show the version', of: ['say', 'voices', 'convert', 'doctor', 'bench'] },
} satisfies Record<string, Option>;

type Name = keyof typeof OPTIONS;
type Read<O> = O extends { read: unknown; expected: 'float16 or float32' }
  ? string
  : O extends { read: ReturnType<typeof number> }
    ? number
    : O extends { value: string }
      ? string
      : true;
export type Values = { [K in Exclude<Name, 'dtype'>]?: Read<(typeof OPTIONS)[K]> } & { dtype?: 'float16' | 'float32' };

export interface Arguments {
  command: Command;
  /**
   * The words that are no options and no command: the text, the two places of a conversion, or
   * suites.
   */
  words: string[];
  values: Values;
}

const COMMANDS: Readonly<Record<string, Command>> = {
  voices: 'voices',
  convert: 'convert',
  doctor: 'doctor',
  bench: 'bench',
};

/** Throws `UsageError`. A word after `--` is text, whatever it looks like. */
export function readArguments(args: readonly string[]): Arguments {
  const table = Object.fromEntries(
    Object.entries<Option>(OPTIONS).map(([name, { value, short }]) => [
      name,
      { type: value ? ('string' as const) : ('boolean' as const), ...(short && { short }) },
    ]),
  );
  const { tokens } = parseArgs({
    args: [...args],
    options: table,
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  const end = tokens.find((token) => token.kind === 'option-terminator')?.index ?? Infinity;
  const words = tokens.flatMap((token) => (token.kind === 'positional' ? [token.value] : []));
  const first = tokens.find((token) => token.kind === 'positional');
  const named = first && first.index < end ? first.value : '';
  const command = Object.hasOwn(COMMANDS, named) ? COMMANDS[named]! : 'say';

  const values: Record<string, unknown> = {};
  for (const token of tokens) {
    if (token.kind !== 'option') continue;
    const option: Option | undefined = Object.hasOwn(OPTIONS, token.name) ? OPTIONS[token.name as Name] : undefined;
    if (!option) throw unknownOption(token.rawName, command);
    if (!option.of.includes(command))
      throw new UsageError(
        `${token.rawName}: got it with 'bark ${command}', expected ${optionsOf(command)
          .map(([name]) => `--${name}`)
          .join(', ')}. Leave it out.`,
      );
    values[token.name] = readValue(token.rawName, option, token.value, token.inlineValue === true);
  }
  if (command !== 'say') {
    words.shift();
    if (command === 'convert') {
      if (words.length !== 2 && !values.help && !values.version) {
        throw new UsageError(
          `bark convert: got ${words.length === 0 ? 'no arguments' : words.map((word) => JSON.stringify(word)).join(' ')}, expected two, the model and the folder to write: bark convert suno/bark-small ./bark-small. To speak the word: bark -- convert`,
        );
      }
    } else if (command !== 'bench' && words.length > 0)
      throw new UsageError(
        `bark ${command}: got the argument ${JSON.stringify(words[0])}, expected none. To speak these words, put them in quotes: bark "${[command, ...words].join(' ')}"`,
      );
  }
  if (command !== 'convert' && values.model === undefined) {
    for (const name of ['revision', 'codec', 'tokenizer'])
      if (values[name] !== undefined)
        throw new UsageError(
          `--${name}: got it without --model, expected both: the demo voice is whole, and has no revisions. Add --model.`,
        );
  }
  return { command, words, values: values as Values };
}

/**
 * What the options say about models of the Hub. The token is not among them: a command line is for
 * everyone on the machine to see.
 */
export function hubOptions({ revision, 'cache-dir': cacheDir, offline }: Values): HubOptions {
  return { revision, cacheDir, localFilesOnly: offline };
}

function readValue(
  name: string,
  { value, read, expected }: Option,
  given: string | undefined,
  inline: boolean,
): unknown {
  if (!value) {
    if (given !== undefined)
      throw new UsageError(`${name}: got the value ${JSON.stringify(given)}, expected none. Leave out '=${given}'.`);
    return true;
  }
  // `-o --seed 3` is a forgotten file name, not a file of that name; `-o=--seed` would be.
  if (given === undefined || given === '' || (!inline && /^-[^\d.]/.test(given)))
    throw new UsageError(`${name}: got no value, expected ${expected ?? value}. Write ${name} ${value}.`);
  if (!read) return given;
  const result = read(given);
  if (result === undefined) throw new UsageError(`${name}: got ${JSON.stringify(given)}, expected ${expected}.`);
  return result;
}

function unknownOption(name: string, command: Command): UsageError {
  const known = optionsOf(command).flatMap(([long, { short }]) => [`--${long}`, ...(short ? [`-${short}`] : [])]);
  const near = name.startsWith('--')
    ? nearestNames(
        name.slice(2),
        optionsOf(command).map(([long]) => long),
        1,
      )
    : [];
  return new UsageError(
    `${name}: got an option that is not known${near[0] ? `; did you mean --${near[0]}?` : `, expected ${known.join(', ')}.`} See bark --help, and put -- before text that begins with a dash.`,
  );
}

export const optionsOf = (command: Command): [string, Option][] =>
  Object.entries<Option>(OPTIONS).filter(([, { of }]) => of.includes(command));
