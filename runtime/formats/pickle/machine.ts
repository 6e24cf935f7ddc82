// What a pickle works on: a stack of values, marks on it, a memo, and the bytes that are read. A
// method here is a step that opcodes (pickle.ts) are made of. It calls nothing: a global is an
// entry of a table that makes plain data of its arguments, and every other name is refused.
// Time and memory are bounded by the limits below, whatever lengths, memo numbers and nestings the
// bytes claim.

import { WeightsError } from '../../base/errors.ts';
import {
  extentOf,
  isGlobal,
  isObject,
  latin1,
  type PickleGlobal,
  type PickleObject,
  type PickleValue,
  type Wrong,
} from './values.ts';

export interface PickleOptions {
  /** What errors call the file. */
  label: string;
  globals: ReadonlyMap<string, PickleGlobal>;
  /** Advice for a global that is known but not read; undefined for a name that is not known. */
  refused?: (name: string) => string | undefined;
  persistent?: (id: PickleValue, wrong: Wrong) => PickleObject;
  /** Where the pickle begins; default 0. */
  start?: number;
}

/** The bytes end before the pickle does: more of the file may help. */
export class PickleCutError extends WeightsError {}

// Far above what a checkpoint with its optimiser's state has (some 30 operations for each tensor).
const MAX_OBJECTS = 300_000; // containers and what globals make
const MAX_ELEMENTS = 1_000_000; // in containers, together
const MAX_MEMO = 500_000;
const MAX_STACK = 500_000;
const MAX_MARKS = 1_000;

export class PickleMachine {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #options: PickleOptions;
  readonly #utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  readonly #stack: PickleValue[] = [];
  readonly #marks: number[] = []; // sizes of the stack
  readonly #memo = new Map<number, PickleValue>();
  #at: number;
  #objects = 0;
  #elements = 0;

  constructor(bytes: Uint8Array, options: PickleOptions) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.#options = options;
    this.#at = options.start ?? 0;
  }

  /** The offset of the next byte. */
  get at(): number {
    return this.#at;
  }

  /** The number under which MEMOIZE stores. */
  get memoSize(): number {
    return this.#memo.size;
  }

  /** The error for bytes that no writer of checkpoints makes. */
  readonly wrong: Wrong = (got, expected) =>
    new WeightsError(
      `${this.#options.label}: got ${got}, expected ${expected}. Do not use this file before you know who made it.`,
    );

  // ------------------------------------------------------------ reading bytes

  /** Moves over `count` bytes and returns the offset at which they begin. */
  #take(count: number): number {
    if (count > this.#bytes.length - this.#at)
      throw new PickleCutError(
        `${this.#options.label}: got a pickle that ends at byte ${this.#bytes.length}, expected it to go on. ` +
          'The file is damaged; fetch it again.',
      );
    this.#at += count;
    return this.#at - count;
  }

  u8(): number {
    return this.#view.getUint8(this.#take(1));
  }

  u16(): number {
    return this.#view.getUint16(this.#take(2), true);
  }

  u32(): number {
    return this.#view.getUint32(this.#take(4), true);
  }

  i32(): number {
    return this.#view.getInt32(this.#take(4), true);
  }

  /** Big-endian, as Python writes BINFLOAT. */
  f64(): number {
    return this.#view.getFloat64(this.#take(8), false);
  }

  /** A length of 64 bits; none is larger than the file. */
  u64(): number {
    const length = this.#view.getBigUint64(this.#take(8), true);
    if (length > this.#bytes.length) this.#take(Infinity);
    return Number(length);
  }

  slice(length: number): Uint8Array {
    const from = this.#take(length);
    return this.#bytes.subarray(from, from + length);
  }

  text(length: number): string {
    try {
      return this.#utf8.decode(this.slice(length));
    } catch (error) {
      throw error instanceof WeightsError ? error : this.wrong('text that is not UTF-8', 'UTF-8');
    }
  }

  /** Latin-1 up to a newline. */
  line(): string {
    const end = this.#bytes.indexOf(10, this.#at);
    if (end < 0) this.#take(Infinity);
    const run = latin1(this.slice(end - this.#at));
    this.#at++;
    return run;
  }

  // ------------------------------------------------------------ stack and marks

  push(value: PickleValue): void {
    if (this.#stack.length >= MAX_STACK) throw this.wrong(`more than ${MAX_STACK} values at once`, 'fewer');
    this.#stack.push(value);
  }

  pushObject(value: PickleValue): void {
    if (++this.#objects > MAX_OBJECTS) throw this.wrong(`more than ${MAX_OBJECTS} objects`, 'fewer');
    this.push(value);
  }

  pop(): PickleValue {
    if (this.#stack.length <= (this.#marks.at(-1) ?? 0))
      throw this.wrong('a pickle that takes a value which is not there', 'a sound one');
    return this.#stack.pop()!;
  }

  top(): PickleValue {
    this.push(this.pop());
    return this.#stack.at(-1)!;
  }

  /** The last `length` values, the deepest first. */
  popItems(length: number): PickleValue[] {
    return Array.from({ length }, () => this.pop()).reverse();
  }

  mark(): void {
    if (this.#marks.push(this.#stack.length) > MAX_MARKS)
      throw this.wrong(`values nested more than ${MAX_MARKS} deep`, 'fewer');
  }

  /** All values above the last mark. */
  popMark(): PickleValue[] {
    const mark = this.#marks.pop();
    if (mark === undefined) throw this.wrong('a pickle that takes values which are not there', 'a sound one');
    return this.#stack.splice(mark);
  }

  /** POP takes a mark where nothing lies above it. */
  popValueOrMark(): void {
    if (this.#marks.length > 0 && this.#marks.at(-1) === this.#stack.length) this.#marks.pop();
    else this.pop();
  }

  // ------------------------------------------------------------ memo

  get(index: number): void {
    const value = this.#memo.get(index);
    if (value === undefined) throw this.wrong(`a memo without number ${index}`, 'it filled before');
    this.push(value);
  }

  put(index: number): void {
    if (this.#memo.size >= MAX_MEMO) throw this.wrong(`a memo of more than ${MAX_MEMO} values`, 'a smaller one');
    this.#memo.set(index, this.top());
  }

  // ------------------------------------------------------------ containers

  #count(more: number): void {
    this.#elements += more;
    if (this.#elements > MAX_ELEMENTS) throw this.wrong(`more than ${MAX_ELEMENTS} elements`, 'fewer');
  }

  /** A list or a tuple; both are arrays here. */
  pushList(items: PickleValue[]): void {
    this.#count(items.length);
    this.pushObject(items);
  }

  append(items: readonly PickleValue[]): void {
    const list = this.top();
    if (!Array.isArray(list)) throw this.wrong('elements for something that is no list', 'a list');
    this.#count(items.length);
    for (const item of items) list.push(item);
  }

  pushDict(items: readonly PickleValue[] = []): void {
    this.pushObject(new Map<PickleValue, PickleValue>());
    if (items.length > 0) this.setItems(items);
  }

  /** Keys and values in turn, into the dict on top of the stack. */
  setItems(items: readonly PickleValue[]): void {
    const dict = this.top();
    if (!(dict instanceof Map) || items.length % 2 !== 0)
      throw this.wrong('items for something that is no dict', 'a dict');
    this.#count(items.length);
    for (let i = 0; i < items.length; i += 2) dict.set(items[i]!, items[i + 1]!);
  }

  pushSet(items: readonly PickleValue[] = []): void {
    this.#count(items.length);
    this.pushObject(new Set(items));
  }

  addItems(items: readonly PickleValue[]): void {
    const set = this.top();
    if (!(set instanceof Set)) throw this.wrong('elements for something that is no set', 'a set');
    this.#count(items.length);
    for (const item of items) set.add(item);
  }

  // ------------------------------------------------------------ globals and objects

  findGlobal(module: PickleValue, name: PickleValue): PickleGlobal {
    if (typeof module !== 'string' || typeof name !== 'string') throw this.wrong('a global without a name', 'one');
    const full = `${module}.${name}`.slice(0, 200);
    const known = this.#options.globals.get(full);
    if (known) return known;
    const advice = this.#options.refused?.(full);
    if (advice !== undefined)
      throw new WeightsError(`${this.#options.label}: got ${full}, expected plain tensors. ${advice}`);
    throw this.wrong(
      `the global ${JSON.stringify(full)}, which could run code`,
      'only tensors, numbers, text, lists and dicts',
    );
  }

  /** What the global below makes of the tuple on top of the stack. */
  construct(): void {
    const args = this.pop();
    const callee = this.pop();
    if (!isGlobal(callee) || !callee.construct)
      throw this.wrong(`a call of ${isGlobal(callee) ? callee.name : 'something that is no global'}`, 'plain data');
    if (!Array.isArray(args)) throw this.wrong(`a call of ${callee.name} without arguments`, 'a tuple of them');
    // A global may copy its arguments, and the memo can hand it the same ones again and again.
    for (const arg of args) this.#count(extentOf(arg));
    this.pushObject(callee.construct(args, this.wrong));
  }

  build(): void {
    const state = this.pop();
    const object = this.top();
    // Attributes of a dict, such as a module's _metadata on its state_dict, are not needed.
    if (object instanceof Map && state instanceof Map) return;
    if (!isObject(object) || !object.build) throw this.wrong('state for an object that has none', 'plain data');
    object.build(state, this.wrong);
  }

  persist(id: PickleValue): void {
    if (!this.#options.persistent) throw this.wrong('a persistent id', 'a pickle without them');
    this.pushObject(this.#options.persistent(id, this.wrong));
  }
}
