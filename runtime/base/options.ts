// The options objects of public functions: an unknown name is refused with the nearest known one,
// because an option that is ignored gives other sound than was asked for; and a value is refused
// that is of another kind than its name says.

import { camelCase, knownWord } from './dialects.ts';
import { InputError } from './errors.ts';
import { nearestNames, shown } from './messages.ts';

/** What an option of this name takes, at every door that has it. */
const TAKES: Readonly<Record<string, readonly [expected: string, fits: (value: unknown) => boolean]>> = {
  ...named('true or false', (value) => typeof value === 'boolean', [
    'doSample',
    'strictMask',
    'normalizeText',
    'offload',
    'localFilesOnly',
    'portable',
    'trace',
    'useCache',
  ]),
  ...named('a string', (value) => typeof value === 'string', ['revision', 'cacheDir', 'token', 'adapter']),
  ...named('a function', (value) => typeof value === 'function', ['onProgress', 'onWarning', 'onDownload']),
  ...named('an AbortSignal', (value) => value instanceof AbortSignal, ['signal']),
};

function named<T>(expected: string, fits: T, names: readonly string[]): Record<string, readonly [string, T]> {
  return Object.fromEntries(names.map((name) => [name, [expected, fits]]));
}

/** Where the object stands that `checkOptions` looks at. */
interface Place {
  /** The option that holds it, e.g. 'semantic'. */
  readonly at?: string;
  /** What it is where it holds no options, e.g. 'inputs'. */
  readonly of?: string;
}

/**
 * Throws `InputError` unless `given` is an object whose keys are all among `keys` and whose values
 * are of the kind that their names say. `door` is the function as its caller wrote it, e.g.
 * 'processor.encode'. undefined is no options, and an option of undefined is one left out.
 */
export function checkOptions(door: string, given: unknown, keys: readonly string[], { at, of }: Place = {}): void {
  if (given === undefined) return;
  if (!isBag(given))
    throw new InputError(
      `${door}: got ${shown(given, 'setting')} for ${at ?? `its ${of ?? 'options'}`}, expected an object such as { ${keys[0]}: … }.${isPromise(given) ? ' Write await before it.' : ''}`,
    );
  for (const [key, value] of Object.entries(given)) {
    const name = at ? `${at}.${key}` : key;
    if (!keys.includes(key)) {
      const what = of
        ? `the unknown key ${shown(key, 'setting')} in its ${of}`
        : `the unknown option ${shown(name, 'setting')}`;
      throw new InputError(`${door}: got ${what}, expected one of ${keys.join(', ')}.${advice(key, keys)}`);
    }
    const takes = Object.hasOwn(TAKES, key) ? TAKES[key] : undefined;
    if (value !== undefined && takes && !takes[1](value)) throw wrongOption(door, name, value, takes[0]);
  }
}

/** The error for a value that an option cannot have. */
export function wrongOption(door: string, name: string, value: unknown, expected: string): InputError {
  return new InputError(`${door}: got ${shown(value, 'setting')} for ${name}, expected ${expected}.`);
}

/** The same for a value that was forgotten to be awaited, which is the usual slip. */
export function isPromise(value: unknown): boolean {
  return typeof (value as PromiseLike<unknown> | null | undefined)?.then === 'function';
}

/** An object of keys and values: no list, and no URL, Blob, Map, AbortSignal or Promise. */
export function isBag(value: unknown): value is object {
  return Object.prototype.toString.call(value) === '[object Object]' && !isPromise(value);
}

/** A list, typed or plain. */
export const isList = (value: unknown): value is ArrayLike<unknown> =>
  Array.isArray(value) || ArrayBuffer.isView(value);

/** A list of whole numbers, typed or plain. */
export function isWholeList(value: unknown): value is ArrayLike<number> {
  if (value instanceof Int32Array || value instanceof Uint32Array) return true;
  return isList(value) && Array.from(value).every(Number.isInteger);
}

/** What to do about an unknown name; a sentence with a space before it, or nothing. */
function advice(key: string, keys: readonly string[]): string {
  const word = knownWord(key);
  for (const name of [camelCase(key), word?.name ?? '']) {
    if (keys.includes(name)) return ` Did you mean ${name}?`;
    const [stage, option] = name.split('.');
    if (option && keys.includes(stage!)) return ` Did you mean ${stage}: { ${option}: … }?`;
  }
  if (word) return ` ${word.advice}`;
  const [near] = nearestNames(key, keys, 1);
  return near ? ` Did you mean ${near}?` : '';
}
