// Single values of a pickle: numbers and text as its opcodes spell them, and how large what they
// make up is. For pickle.ts.
import type { WeightsError } from '../../base/errors.ts';

const MAX_INT_DIGITS = 2_400;
const MAX_DEPTH = 100;
const MAX_EXPANDED = 4_000_000; // elements, when what is shared is counted each time it is met

export function isObject(value: PickleValue): value is PickleObject {
  return typeof value === 'object' && value !== null && 'kind' in value;
}

export function isGlobal(value: PickleValue): value is PickleGlobal {
  return isObject(value) && value.kind === 'global';
}

/** A text's number, as int() writes it; True and False are `01` and `00`. */
export function intOf(text: string, wrong: Wrong): boolean | number | bigint {
  if (text === '01' || text === '00') return text === '01';
  const digits = /^([+-]?\d+)L?$/.exec(text)?.[1];
  if (digits === undefined || digits.length > MAX_INT_DIGITS)
    throw wrong(`the int ${text.slice(0, 40)}`, `digits, at most ${MAX_INT_DIGITS}`);
  return narrow(BigInt(digits));
}

export function indexOf(text: string, wrong: Wrong): number {
  const index = /^\d{1,9}$/.test(text) ? Number(text) : undefined;
  if (index === undefined) throw wrong(`the memo number ${text.slice(0, 40)}`, 'digits');
  return index;
}

/** Two's complement, little-endian. */
export function longOf(bytes: Uint8Array): number | bigint {
  let value = 0n;
  for (let i = bytes.length - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[i]!);
  return narrow(BigInt.asIntN(bytes.length * 8, value));
}

export function narrow(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

export function floatOf(text: string, wrong: Wrong): number {
  const special: Record<string, number> = { inf: Infinity, '-inf': -Infinity, nan: NaN, '-nan': NaN };
  if (Object.hasOwn(special, text)) return special[text]!;
  if (text.length > 400 || !/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text))
    throw wrong(`the float ${text.slice(0, 40)}`, 'digits');
  return Number(text);
}

/** The text of a Python string literal, as protocol 0 of Python 2 writes strings. */
export function stringOf(literal: string, wrong: Wrong): string {
  const inside = /^(['"])(.*)\1$/s.exec(literal)?.[2];
  if (inside === undefined) throw wrong('a string without its quotes', 'them');
  const plain: Record<string, string> = { n: '\n', t: '\t', r: '\r' };
  return inside.replace(/\\(?:x([0-9a-fA-F]{2})|(.))/g, (_, hex: string | undefined, char: string) =>
    hex === undefined ? (plain[char] ?? char) : String.fromCharCode(parseInt(hex, 16)),
  );
}

/** Text in which only \uXXXX and \UXXXXXXXX are special (Python's raw-unicode-escape). */
export function unescaped(text: string, wrong: Wrong): string {
  return text.replace(
    /\\u([0-9a-fA-F]{4})|\\U([0-9a-fA-F]{8})/g,
    (_, four: string | undefined, eight: string | undefined) => {
      const point = parseInt(four ?? eight!, 16);
      if (point > 0x10ffff) throw wrong(`the character ${eight}`, 'one of Unicode');
      return String.fromCodePoint(point);
    },
  );
}

/** A byte for each character. */
export function latin1(bytes: Uint8Array): string {
  let text = '';
  for (let i = 0; i < bytes.length; i += 4096) text += String.fromCharCode(...bytes.subarray(i, i + 4096));
  return text;
}

/**
 * How much a value by itself counts among all elements: its own, or its bytes or characters in
 * fours.
 */
export function extentOf(value: PickleValue): number {
  if (value instanceof Uint8Array || typeof value === 'string') return Math.ceil(value.length / 4);
  if (value instanceof Map) return 2 * value.size;
  return Array.isArray(value) ? value.length : value instanceof Set ? value.size : 0;
}

/**
 * Refuses values that hold themselves, are nested deeply, or grow enormous once what they share is
 * written out.
 */
export function checkExtent(root: PickleValue, wrong: Wrong): void {
  // For each container, once all of it has been seen: how many values it has when written out, and
  // how deep it goes.
  const seen = new Map<object, { size: number; depth: number } | undefined>();
  const open: { value: object; children: Iterator<PickleValue>; size: number; depth: number }[] = [];
  const enter = (value: object) => {
    if (open.length >= MAX_DEPTH) throw wrong(`values nested more than ${MAX_DEPTH} deep`, 'fewer');
    seen.set(value, undefined);
    open.push({ value, children: childrenOf(value), size: 1, depth: 1 });
  };
  if (isContainer(root)) enter(root);
  while (open.length > 0) {
    const parent = open.at(-1)!;
    const next = parent.children.next();
    if (next.done) {
      open.pop();
      seen.set(parent.value, { size: parent.size, depth: parent.depth });
    }
    const child = next.done ? parent.value : next.value;
    const holder = next.done ? open.at(-1) : parent;
    if (!holder || !isContainer(child)) {
      if (holder) holder.size++;
    } else if (seen.has(child)) {
      const extent = seen.get(child);
      if (!extent) throw wrong('a value that holds itself', 'plain data');
      holder.size += extent.size;
      holder.depth = Math.max(holder.depth, extent.depth + 1);
    } else enter(child);
    if (holder && (holder.size > MAX_EXPANDED || holder.depth > MAX_DEPTH))
      throw wrong(`values that repeat into more than ${MAX_EXPANDED} or ${MAX_DEPTH} deep`, 'fewer');
  }
}

function isContainer(value: PickleValue | object): value is object {
  return Array.isArray(value) || value instanceof Map || value instanceof Set;
}

function* childrenOf(value: object): Generator<PickleValue> {
  if (value instanceof Map) {
    for (const [key, item] of value as Map<PickleValue, PickleValue>) {
      yield key;
      yield item;
    }
  } else yield* value as Iterable<PickleValue>;
}

/**
 * A dict is a Map, a list or tuple an array, an int a number (beyond 2^53 a bigint); the rest is
 * named by its `kind`.
 */
export type PickleValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | PickleObject
  | PickleValue[]
  | Set<PickleValue>
  | Map<PickleValue, PickleValue>;

/** Something that a global or a persistent id made. */
export interface PickleObject {
  readonly kind: string;
  /** Takes the state that BUILD has for it; without this, state is refused. */
  build?(state: PickleValue, wrong: Wrong): void;
}

/** Makes the error for something that a pickle may not hold. */
export type Wrong = (got: string, expected: string) => WeightsError;

/** A name that pickles may refer to; the ones without `construct` are only looked at. */
export interface PickleGlobal extends PickleObject {
  readonly kind: 'global';
  /** As in Python, with its module. */
  readonly name: string;
  construct?(args: readonly PickleValue[], wrong: Wrong): PickleValue;
}
