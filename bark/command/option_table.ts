// A table of a program's options, from which both the parsing and the help are made: for `bark`
// (arguments.ts) and for the bench, which has options of its own. Knows no option and prints
// nothing.

import { parseArgs } from 'node:util';
import { nearestNames } from '../../runtime/base/messages.ts';
import { foreignOption } from './foreign_options.ts';

/**
 * Wrong usage: the command ends with code 2. The message is one line that says what was got, what
 * was expected and what to do.
 */
export class UsageError extends Error {
  override readonly name = 'UsageError';
  readonly code = 'ERR_USAGE';
}

export interface Option {
  readonly short?: string;
  /** Placeholder of the value in the help; an option without it is a switch. */
  readonly value?: string;
  readonly about: string;
  /** Makes the value of a text; undefined where it is none. */
  readonly read?: (text: string) => unknown;
  /** What `read` expects, for its error. */
  readonly expected?: string;
}

export type Options = Readonly<Record<string, Option>>;

export const number = (allowed: (n: number) => boolean) => (text: string) => {
  const n = text.trim() === '' ? NaN : Number(text);
  return Number.isFinite(n) && allowed(n) ? n : undefined;
};

const DTYPES = new Map([
  ['float16', 'float16'],
  ['fp16', 'float16'],
  ['float32', 'float32'],
  ['fp32', 'float32'],
]);

export const dtype = { read: (text: string) => DTYPES.get(text), expected: 'float16 or float32' } as const;

/** The value of an option by its table entry; `Values<typeof OPTIONS>` is what a program gets. */
type Read<O> = O extends { read: unknown; expected: 'float16 or float32' }
  ? string
  : O extends { read: ReturnType<typeof number> }
    ? number
    : O extends { value: string }
      ? string
      : true;
export type ValuesOf<T extends Options> = { [K in Exclude<keyof T, 'dtype'>]?: Read<T[K]> } & {
  dtype?: 'float16' | 'float32';
};

/** Words and options in their order; an option that the table lacks is among them. */
export function tokensOf(args: readonly string[], options: Options) {
  const table = Object.fromEntries(
    Object.entries(options).map(([name, { value, short }]) => [
      name,
      { type: value ? ('string' as const) : ('boolean' as const), ...(short && { short }) },
    ]),
  );
  return parseArgs({ args: [...args], options: table, strict: false, allowPositionals: true, tokens: true }).tokens;
}

type OptionToken = Extract<ReturnType<typeof tokensOf>[number], { kind: 'option' }>;

/**
 * Puts the value of an option as it was given into `values`. Throws `UsageError`, also where one
 * that takes a value was given before: which of the two was meant?
 */
export function readOption(values: Record<string, unknown>, token: OptionToken, option: Option): void {
  const { name, rawName } = token;
  const value = readValue(token, option);
  if (option.value && Object.hasOwn(values, name))
    throw new UsageError(
      `${rawName}: got --${name} twice, first as ${JSON.stringify(values[name])}, then as ${JSON.stringify(value)}, expected it once. Leave one out.`,
    );
  values[name] = value;
}

function readValue(
  { rawName: name, value: text, inlineValue: inline }: OptionToken,
  { value, read, expected }: Option,
): unknown {
  if (!value) {
    if (text !== undefined)
      throw new UsageError(`${name}: got the value ${JSON.stringify(text)}, expected none. Leave out '=${text}'.`);
    return true;
  }
  // `-o=a.wav` is no file of the name `=a.wav`; `-o ./=a.wav` would be.
  const given = inline && !name.startsWith('--') ? text?.replace(/^=/, '') : text;
  // `-o --seed 3` is a forgotten file name, not a file of that name; `-o=--seed` would be.
  if (given === undefined || given === '' || (!inline && /^-[^\d.]/.test(given)))
    throw new UsageError(`${name}: got no value, expected ${expected ?? value}. Write ${name} ${value}.`);
  if (!read) return given;
  const result = read(given);
  if (result === undefined) throw new UsageError(`${name}: got ${JSON.stringify(given)}, expected ${expected}.`);
  return result;
}

/**
 * The option of the table that was perhaps meant: its beginning, or all of it with up to a third of
 * the letters wrong. What is less alike is a word of its own.
 */
export function nearestOption(rawName: string, options: Options): string | undefined {
  if (!rawName.startsWith('--')) return undefined;
  const name = rawName.slice(2).toLowerCase().replaceAll('_', '-');
  const names = Object.keys(options);
  const begun = names.filter((other) => name.length > 1 && other.startsWith(name));
  return begun.length === 1 ? begun[0] : nearestNames(name, names, 1, Math.ceil(name.length / 3))[0];
}

/** The error for an option that is not in the table. */
export function unknownOption(rawName: string, options: Options): UsageError {
  const foreign = foreignOption(rawName, Object.keys(options));
  if (foreign) return new UsageError(`${rawName}: got an option that is not known${foreign}`);
  const known = Object.entries(options).flatMap(([long, { short }]) => [`--${long}`, ...(short ? [`-${short}`] : [])]);
  const near = nearestOption(rawName, options);
  const hint = near ? `; did you mean --${near}?` : `, expected ${known.join(', ')}.`;
  return new UsageError(
    `${rawName}: got an option that is not known${hint} See bark --help, and put -- before text that begins with a dash.`,
  );
}

/** A line of help for each option. */
export function optionLines(options: Options): string[] {
  const rows = Object.entries(options).map(
    ([name, { short, value, about }]) =>
      [`  ${short ? `-${short}, ` : '    '}--${name}${value ? ` ${value}` : ''}`, about] as const,
  );
  const width = Math.max(...rows.map(([left]) => left.length)) + 2;
  return rows.map(([left, about]) => left.padEnd(width) + about);
}
