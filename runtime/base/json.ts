// Reading values out of JSON that came from a disk or a network. Each getter checks one key and
// throws a `WeightsError` that names it when its value is wrong. No schema and no model is known
// here; keys that no getter reads are ignored.

import { InputError, WeightsError } from './errors.ts';
import { shown } from './messages.ts';
import { isPromise, wrongOption } from './options.ts';

/** A JSON object and its place for error messages: the file, and the dotted path of keys in it. */
export interface JsonObject {
  readonly label: string;
  readonly path: string;
  readonly values: Readonly<Record<string, unknown>>;
}

interface Bounds {
  min?: number | undefined;
  max?: number | undefined;
}

export interface NumberRule extends Bounds {
  /** Value for an absent key. Without a default the key is required. */
  default?: number;
  /** Other spellings of the same key. */
  aliases?: readonly string[];
}

const ADVICE = 'Correct the file, or fetch the model again.';

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Checks that a parsed JSON value is an object. `path` is its dotted path in the file. */
export function jsonObject(value: unknown, label: string, path = ''): JsonObject {
  if (!isObject(value)) {
    const what = path === '' ? `${label}: got ${show(value)}` : `${label}: ${path} is ${show(value)}`;
    throw new WeightsError(`${what}, expected an object of keys and values. ${ADVICE}`);
  }
  return { label, path, values: value };
}

/** What a public `fromJSON` was given; its errors blame the file, `label`. */
export function parsedJson(
  door: string,
  value: unknown,
  label: string | undefined,
  usual: string,
  path = '',
): JsonObject {
  if (label !== undefined && typeof label !== 'string') throw wrongOption(door, 'label', label, 'a string');
  if (isPromise(value))
    throw new InputError(`${door}: got a Promise, expected the object that JSON.parse gives. Write await before it.`);
  return jsonObject(value, label ?? usual, path);
}

/** The object under a key; the key must be there. */
export function objectAt(parent: JsonObject, key: string): JsonObject {
  const value = own(parent, key);
  if (value === undefined) throw bad(parent, key, value, 'an object of keys and values');
  return jsonObject(value, parent.label, pathOf(parent, key));
}

/** The object under a key, or an empty one where the key is absent or null. */
export function optionalObjectAt(parent: JsonObject, key: string): JsonObject {
  return jsonObject(own(parent, key) ?? {}, parent.label, pathOf(parent, key));
}

/** A whole number. */
export function integer(from: JsonObject, key: string, rule: NumberRule = {}): number {
  const { name, value } = find(from, key, rule.aliases);
  if (value === undefined && rule.default !== undefined) return rule.default;
  if (!Number.isSafeInteger(value) || !within(value as number, rule))
    throw bad(from, name, value, `a whole number${bounds(rule)}`);
  return value as number;
}

/** A finite number. */
export function number(from: JsonObject, key: string, rule: NumberRule = {}): number {
  const { name, value } = find(from, key, rule.aliases);
  if (value === undefined && rule.default !== undefined) return rule.default;
  if (!Number.isFinite(value) || !within(value as number, rule))
    throw bad(from, name, value, `a number${bounds(rule)}`);
  return value as number;
}

export function boolean(from: JsonObject, key: string, rule: { default?: boolean } = {}): boolean {
  const value = own(from, key);
  if (value === undefined && rule.default !== undefined) return rule.default;
  if (typeof value !== 'boolean') throw bad(from, key, value, 'true or false');
  return value;
}

export function text(
  from: JsonObject,
  key: string,
  rule: { default?: string; among?: readonly string[] } = {},
): string {
  const value = own(from, key);
  if (value === undefined && rule.default !== undefined) return rule.default;
  if (typeof value !== 'string' || (rule.among && !rule.among.includes(value))) {
    throw bad(
      from,
      key,
      value,
      rule.among ? `one of ${rule.among.map((name) => JSON.stringify(name)).join(', ')}` : 'a string',
    );
  }
  return value;
}

/** A list of numbers with at least one entry, each within the bounds. */
export function numbers(
  from: JsonObject,
  key: string,
  rule: Bounds & { default?: readonly number[]; whole?: boolean },
): number[] {
  const value = own(from, key);
  if (value === undefined && rule.default !== undefined) return [...rule.default];
  const allowed = (entry: unknown) =>
    (rule.whole ? Number.isSafeInteger(entry) : Number.isFinite(entry)) && within(entry as number, rule);
  if (!Array.isArray(value) || value.length === 0 || !value.every(allowed)) {
    throw bad(from, key, value, `a list of ${rule.whole ? 'whole ' : ''}numbers, each${bounds(rule)}`);
  }
  return value as number[];
}

/** True when the key is there and is null. */
export function isNull(from: JsonObject, key: string): boolean {
  return own(from, key) === null;
}

/**
 * The error for a key whose value cannot be: names the file, the key, what it holds and what is
 * allowed.
 */
export function bad(from: JsonObject, key: string, value: unknown, expected: string): WeightsError {
  const holds = value === undefined ? 'missing' : show(value);
  return new WeightsError(`${from.label}: ${pathOf(from, key)} is ${holds}, expected ${expected}. ${ADVICE}`);
}

/** The value of a setting as error messages show it: JSON, at most 60 characters. */
export const show = (value: unknown): string => shown(value, 'setting');

export function pathOf(from: JsonObject, key: string): string {
  return from.path === '' ? key : `${from.path}.${key}`;
}

function find(from: JsonObject, key: string, aliases: readonly string[] = []): { name: string; value: unknown } {
  const there = [key, ...aliases].filter((name) => own(from, name) !== undefined);
  const name = there[0] ?? key;
  const other = there.find((candidate) => own(from, candidate) !== own(from, name));
  if (other !== undefined)
    throw bad(
      from,
      other,
      own(from, other),
      `what ${pathOf(from, name)} says, ${show(own(from, name))}: both name the same thing`,
    );
  return { name, value: own(from, name) };
}

// Only the object's own keys: '__proto__' and 'constructor' are not settings.
function own(from: JsonObject, key: string): unknown {
  return Object.hasOwn(from.values, key) ? from.values[key] : undefined;
}

function within(value: number, { min = -Infinity, max = Infinity }: Bounds): boolean {
  return value >= min && value <= max;
}

function bounds({ min, max }: Bounds): string {
  if (min !== undefined && max !== undefined) return ` from ${min} to ${max}`;
  if (min !== undefined) return ` of at least ${min}`;
  return max === undefined ? '' : ` of at most ${max}`;
}
