// The options objects of public functions: an unknown name is refused with the nearest known one,
// because an option that is ignored gives other sound than was asked for.

import { InputError } from './errors.ts';
import { nearestNames, shown } from './messages.ts';

/**
 * Throws `InputError` unless `given` is an object whose keys are all among `keys`. `door` is the
 * function as its caller wrote it, e.g. 'processor.encode'. undefined is no options.
 */
export function checkOptions(door: string, given: unknown, keys: readonly string[]): void {
  if (given === undefined) return;
  if (typeof given !== 'object' || given === null || Array.isArray(given))
    throw new InputError(
      `${door}: got ${shown(given, 'setting')} for its options, expected an object such as { ${keys[0]}: … }.`,
    );
  for (const key of Object.keys(given)) {
    if (keys.includes(key)) continue;
    const [near] = nearestNames(key, keys, 1);
    throw new InputError(
      `${door}: got the unknown option ${shown(key, 'setting')}, expected one of ${keys.join(', ')}.${near ? ` Did you mean ${near}?` : ''}`,
    );
  }
}
