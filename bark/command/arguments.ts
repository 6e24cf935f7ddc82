// The options of `bark` and its commands. Knows no model and prints nothing.

import type { Progress } from './progress.ts';
import type { DeviceOptions } from '../../runtime/compute/adapter.ts';
import { MOST_THREADS } from '../../runtime/host/threads.ts';
import type { HubOptions } from '../../runtime/sources/hub/settings.ts';
import { looksLikeCommand } from './bare_word.ts';
import {
  dtype,
  number,
  readOption,
  tokensOf,
  unknownOption,
  UsageError,
  type Option,
  type Options,
  type ValuesOf,
} from './option_table.ts';

export type Command = 'say' | 'voices' | 'convert' | 'doctor';

interface CommandOption extends Option {
  readonly of: readonly Command[];
}

const wholeFrom = (least: number) => ({
  read: number((n) => Number.isSafeInteger(n) && n >= least),
  expected: `a whole number from ${least}`,
});

const BACKENDS = new Set(['auto', 'webgpu', 'wasm']);

const OPTIONS = {
  voice: {
    short: 'v',
    value: 'NAME',
    about: "one of the model's voices ('bark voices' lists them), or the path of a .npz",
    of: ['say'],
  },
  'repair-voice': { about: 'mend a .npz that is nearly right, and say how', of: ['say'] },
  output: { short: 'o', value: 'FILE', about: 'write a .wav file; - for standard output', of: ['say'] },
  model: {
    short: 'm',
    value: 'MODEL',
    about: 'a folder or a Hub id, such as suno/bark-small; without it, the built-in demo voice',
    of: ['say', 'voices'],
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
  seed: {
    value: 'N',
    about: 'the same seed says the same again; default: a random one, which is shown',
    of: ['say'],
    ...wholeFrom(0),
  },
  temperature: {
    value: 'T',
    about: "of all stages, above 0; default: the model's own",
    of: ['say'],
    read: number((n) => n > 0),
    expected: 'a number above 0 (for the likeliest tokens --greedy)',
  },
  greedy: { about: 'always the likeliest token, as transformers does without sampling', of: ['say'] },
  'min-eos-p': {
    value: 'P',
    about: 'end the speech where its end is at least so likely; default: mostly 0.2; 0: off',
    of: ['say'],
    read: number((p) => p >= 0 && p <= 1),
    expected: 'a probability from 0 (off) to 1',
  },
  'max-new-tokens': { value: 'N', about: 'cut the speech after N semantic tokens', of: ['say'], ...wholeFrom(1) },
  dtype: {
    value: 'TYPE',
    about: 'how weights are stored: float16 (default) or float32',
    of: ['say', 'convert'],
    ...dtype,
  },
  offload: { about: "keep only the running stage's weights on the GPU", of: ['say'] },
  backend: {
    value: 'NAME',
    about: 'webgpu, wasm (the processor), or auto: a GPU where there is one',
    of: ['say', 'doctor'],
    read: (text: string) => (BACKENDS.has(text) ? text : undefined),
    expected: 'auto, webgpu or wasm',
  },
  threads: {
    value: 'N',
    about: 'threads of the processor; default: as many as this process may use',
    of: ['say', 'doctor'],
    read: number((n) => Number.isInteger(n) && n >= 1 && n <= MOST_THREADS),
    expected: `a whole number from 1 to ${MOST_THREADS}`,
  },
  portable: { about: 'use only core WebGPU: no subgroups, no shader-f16', of: ['say', 'doctor'] },
  force: { about: 'write over what is in OUT', of: ['convert'] },
  'no-voices': { about: 'leave the voices out', of: ['convert'] },
  json: {
    about: 'print JSON on standard output',
    of: ['say', 'voices', 'convert', 'doctor'],
  },
  quiet: { short: 'q', about: 'no progress; warnings and errors only', of: ['say', 'voices', 'convert'] },
  help: { short: 'h', about: 'show this', of: ['say', 'voices', 'convert', 'doctor'] },
  version: { about: 'show the version', of: ['say', 'voices', 'convert', 'doctor'] },
} satisfies Record<string, CommandOption>;

export type Values = ValuesOf<typeof OPTIONS>;

export interface Arguments {
  command: Command;
  /** The words that are no options and no command: the text, or the two places of a conversion. */
  words: string[];
  values: Values;
  /** The text, where it is one word that was perhaps meant as a command. */
  bareWord?: string;
}

const COMMANDS: Readonly<Record<string, Command>> = { voices: 'voices', convert: 'convert', doctor: 'doctor' };

/**
 * The arguments of the bench, which reads them itself, where the first word is `bench`; else
 * undefined.
 */
export function benchArguments(args: readonly string[]): string[] | undefined {
  const tokens = tokensOf(args, OPTIONS);
  const first = tokens.find((token) => token.kind !== 'option');
  return first?.kind === 'positional' && first.value === 'bench' ? args.toSpliced(first.index, 1) : undefined;
}

/** Throws `UsageError`. A word after `--` is text, whatever it looks like. */
export function readArguments(args: readonly string[]): Arguments {
  const tokens = tokensOf(args, OPTIONS);
  const end = tokens.find((token) => token.kind === 'option-terminator')?.index ?? Infinity;
  const words = tokens.flatMap((token) => (token.kind === 'positional' ? [token.value] : []));
  const first = tokens.find((token) => token.kind === 'positional');
  const named = first && first.index < end ? first.value : '';
  const command = Object.hasOwn(COMMANDS, named) ? COMMANDS[named]! : 'say';

  const values: Record<string, unknown> = {};
  for (const token of tokens) {
    if (token.kind !== 'option') continue;
    const option = Object.hasOwn(OPTIONS, token.name)
      ? (OPTIONS as Record<string, CommandOption>)[token.name]
      : undefined;
    if (!option) throw unknownOption(token.rawName, optionsOf(command));
    if (!option.of.includes(command))
      throw new UsageError(
        `${token.rawName}: got it with 'bark ${command}', expected ${Object.keys(optionsOf(command))
          .map((name) => `--${name}`)
          .join(', ')}. Leave it out.`,
      );
    readOption(values, token, option);
  }
  if (command !== 'say') {
    words.shift();
    if (command === 'convert') {
      if (words.length !== 2 && !values.help && !values.version) {
        throw new UsageError(
          `bark convert: got ${words.length === 0 ? 'no arguments' : words.map((word) => JSON.stringify(word)).join(' ')}, expected two, the model and the folder to write: bark convert suno/bark-small ./bark-small. To speak the word: bark -- convert`,
        );
      }
    } else if (words.length > 0)
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
  const bareWord = command === 'say' && looksLikeCommand(words) && named !== '' ? { bareWord: named } : {};
  return { command, words, values: values as Values, ...bareWord };
}

/**
 * What the options say about models of the Hub. The token is not among them: a command line is for
 * everyone on the machine to see.
 */
export function hubOptions({ revision, 'cache-dir': cacheDir, offline }: Values): HubOptions {
  return { revision, cacheDir, localFilesOnly: offline };
}

/** What the options say about the device. Throws `UsageError` where they contradict each other. */
export function deviceOptions({ backend, threads, portable }: Values): DeviceOptions {
  if (backend === 'wasm' && portable)
    throw new UsageError('--portable: got it with --backend wasm, expected a GPU: it is about WebGPU. Leave it out.');
  if (threads !== undefined && (backend === 'webgpu' || portable))
    throw new UsageError(
      '--threads: got it with a GPU, expected the processor: a GPU has none to choose. Add --backend wasm, or leave it out.',
    );
  return {
    ...(backend !== undefined && { backend: backend as DeviceOptions['backend'] & string }),
    ...(threads !== undefined && { threads, backend: 'wasm' as const }),
    ...(portable && { portable }),
  };
}

export const optionsOf = (command: Command): Options =>
  Object.fromEntries(Object.entries<CommandOption>(OPTIONS).filter(([, { of }]) => of.includes(command)));

/** What every command gets from cli.ts beside its arguments. */
export interface CommandContext {
  /** Lines for people, on standard error. */
  progress: Progress;
  /** Aborted by Ctrl-C and by SIGTERM. */
  signal: AbortSignal;
  /** Writes to standard output; resolves when the data has been handed to the system. */
  print: (data: string | Uint8Array) => Promise<void>;
}
