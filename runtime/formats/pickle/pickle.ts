// A restricted reader of Python pickles, protocols 0 to 5: bytes in, plain data out.
// It calls nothing. A global is a name in a table that makes plain data of its arguments
// (pickle_globals.ts), and every other name is refused; so are extension codes, old-style
// instances, out-of-band buffers, and state for anything but a few objects.
// Time and memory are bounded by the limits below, whatever lengths, memo numbers and nestings the
// bytes claim.
// Reference: CPython's Lib/pickletools.py, which says what each opcode does.

import { WeightsError } from '../../base/errors.ts';
import {
  checkExtent,
  extentOf,
  floatOf,
  indexOf,
  intOf,
  isGlobal,
  isObject,
  latin1,
  longOf,
  stringOf,
  unescaped,
  type PickleValue,
  type PickleObject,
  type Wrong,
  type PickleGlobal,
} from './values.ts';

export interface PickleOptions {
  /** What errors call the file. */
  label: string;
  globals: ReadonlyMap<string, PickleGlobal>;
  /** Globals that are known and not read, by name, with what to do about it. */
  refused?: (name: string) => string | undefined;
  persistent?: (id: PickleValue, wrong: Wrong) => PickleObject;
  /** Where the pickle begins; default 0. */
  start?: number;
}

/** The bytes end before the pickle does: more of the file may help. */
export class PickleCutError extends WeightsError {}

/** The most bytes of a file that are read as a pickle. */
export const MAX_PICKLE = 16 * 2 ** 20;

// Far above what a checkpoint with its optimiser's state has (some 30 operations for each tensor).
const MAX_OPERATIONS = 2_000_000;
const MAX_OBJECTS = 300_000; // containers and what globals make
const MAX_ELEMENTS = 1_000_000; // in containers, together
const MAX_MEMO = 500_000;
const MAX_STACK = 500_000;
const MAX_MARKS = 1_000;
const MAX_INT_BYTES = 1_024;

/**
 * Reads one pickle of `bytes`; `end` is where it ends. Throws `WeightsError`, as `PickleCutError`
 * where bytes are missing.
 */
export function unpickle(bytes: Uint8Array, options: PickleOptions): { value: PickleValue; end: number } {
  const { label, globals, persistent } = options;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const wrong: Wrong = (got, expected) =>
    new WeightsError(`${label}: got ${got}, expected ${expected}. Do not use this file before you know who made it.`);
  const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  const stack: PickleValue[] = [];
  const marks: number[] = [];
  const memo = new Map<number, PickleValue>();
  let at = options.start ?? 0;
  let objects = 0;
  let elements = 0;

  /** Moves over `count` bytes and gives where they began. */
  const take = (count: number): number => {
    if (count > bytes.length - at)
      throw new PickleCutError(
        `${label}: got a pickle that ends at byte ${bytes.length}, expected it to go on. The file is damaged; fetch it again.`,
      );
    at += count;
    return at - count;
  };
  const u8 = () => view.getUint8(take(1));
  const u32 = () => view.getUint32(take(4), true);
  const u64 = () => {
    const length = view.getBigUint64(take(8), true);
    if (length > bytes.length) take(Infinity);
    return Number(length);
  };
  const slice = (length: number) => {
    const from = take(length);
    return bytes.subarray(from, from + length);
  };
  const text = (length: number) => {
    try {
      return utf8.decode(slice(length));
    } catch (error) {
      throw error instanceof WeightsError ? error : wrong('text that is not UTF-8', 'UTF-8');
    }
  };
  const line = () => {
    const end = bytes.indexOf(10, at);
    if (end < 0) take(Infinity);
    const run = latin1(slice(end - at));
    at++;
    return run;
  };
  const push = (value: PickleValue) => {
    if (stack.length >= MAX_STACK) throw wrong(`more than ${MAX_STACK} values at once`, 'fewer');
    stack.push(value);
  };
  const pushObject = <T extends PickleValue>(value: T) => {
    if (++objects > MAX_OBJECTS) throw wrong(`more than ${MAX_OBJECTS} objects`, 'fewer');
    push(value);
  };
  const pop = () => {
    if (stack.length <= (marks.at(-1) ?? 0))
      throw wrong('a pickle that takes a value which is not there', 'a sound one');
    return stack.pop()!;
  };
  const top = () => {
    push(pop());
    return stack.at(-1)!;
  };
  const popMark = () => {
    const mark = marks.pop();
    if (mark === undefined) throw wrong('a pickle that takes values which are not there', 'a sound one');
    return stack.splice(mark);
  };
  const count = (more: number) => {
    elements += more;
    if (elements > MAX_ELEMENTS) throw wrong(`more than ${MAX_ELEMENTS} elements`, 'fewer');
  };
  const pushList = (items: PickleValue[]) => {
    count(items.length);
    pushObject(items);
  };
  const lastItems = (length: number) => Array.from({ length }, pop).reverse();
  const setItems = (items: PickleValue[]) => {
    const dict = top();
    if (!(dict instanceof Map) || items.length % 2 !== 0) throw wrong('items for something that is no dict', 'a dict');
    count(items.length);
    for (let i = 0; i < items.length; i += 2) dict.set(items[i]!, items[i + 1]!);
  };
  const append = (items: PickleValue[]) => {
    const list = top();
    if (!Array.isArray(list)) throw wrong('elements for something that is no list', 'a list');
    count(items.length);
    for (const item of items) list.push(item);
  };
  const toSet = (set: Set<PickleValue>, items: PickleValue[]) => {
    count(items.length);
    for (const item of items) set.add(item);
    return set;
  };
  const get = (index: number) => {
    const value = memo.get(index);
    if (value === undefined) throw wrong(`a memo without number ${index}`, 'it filled before');
    push(value);
  };
  const put = (index: number) => {
    if (memo.size >= MAX_MEMO) throw wrong(`a memo of more than ${MAX_MEMO} values`, 'a smaller one');
    memo.set(index, top());
  };
  const findGlobal = (module: PickleValue, name: PickleValue) => {
    if (typeof module !== 'string' || typeof name !== 'string') throw wrong('a global without a name', 'one');
    const full = `${module}.${name}`.slice(0, 200);
    const known = globals.get(full);
    if (known) return known;
    const advice = options.refused?.(full);
    if (advice !== undefined) throw new WeightsError(`${label}: got ${full}, expected plain tensors. ${advice}`);
    throw wrong(
      `the global ${JSON.stringify(full)}, which could run code`,
      'only tensors, numbers, text, lists and dicts',
    );
  };
  const construct = () => {
    const args = pop();
    const callee = pop();
    if (!isGlobal(callee) || !callee.construct)
      throw wrong(`a call of ${isGlobal(callee) ? callee.name : 'something that is no global'}`, 'plain data');
    if (!Array.isArray(args)) throw wrong(`a call of ${callee.name} without arguments`, 'a tuple of them');
    for (const arg of args) count(extentOf(arg)); // of which a copy may be made, and the memo gives it again and again
    pushObject(callee.construct(args, wrong));
  };
  const build = () => {
    const state = pop();
    const object = top();
    // Attributes of a dict, such as a module's _metadata on its state_dict, hold nothing that is
    // needed.
    if (object instanceof Map && state instanceof Map) return;
    if (!isObject(object) || !object.build) throw wrong('state for an object that has none', 'plain data');
    object.build(state, wrong);
  };
  const persist = (id: PickleValue) => {
    if (!persistent) throw wrong('a persistent id', 'a pickle without them');
    pushObject(persistent(id, wrong));
  };

  for (let operations = 0; ; operations++) {
    if (operations > MAX_OPERATIONS) throw wrong(`more than ${MAX_OPERATIONS} operations`, 'fewer');
    const opcode = u8();
    switch (opcode) {
      case 0x28: // (  MARK
        if (marks.push(stack.length) > MAX_MARKS) throw wrong(`values nested more than ${MAX_MARKS} deep`, 'fewer');
        break;
      case 0x2e: {
        // .  STOP
        const value = pop();
        checkExtent(value, wrong);
        return { value, end: at };
      }
      case 0x30: // 0  POP, which also takes a mark
        if (marks.length > 0 && marks.at(-1) === stack.length) marks.pop();
        else pop();
        break;
      case 0x31:
        popMark();
        break; // 1  POP_MARK
      case 0x32:
        push(top());
        break; // 2  DUP
      case 0x80: // PROTO
        if (u8() > 5) throw wrong(`pickle protocol ${bytes[at - 1]}`, 'one up to 5');
        break;
      case 0x95:
        u64();
        break; // FRAME
      case 0x4e:
        push(null);
        break; // N  NONE
      case 0x88:
        push(true);
        break; // NEWTRUE
      case 0x89:
        push(false);
        break; // NEWFALSE
      case 0x49:
        push(intOf(line(), wrong));
        break; // I  INT
      case 0x4c:
        push(intOf(line(), wrong));
        break; // L  LONG
      case 0x4a:
        push(view.getInt32(take(4), true));
        break; // J  BININT
      case 0x4b:
        push(u8());
        break; // K  BININT1
      case 0x4d:
        push(view.getUint16(take(2), true));
        break; // M  BININT2
      case 0x8a:
        push(longOf(slice(u8())));
        break; // LONG1
      case 0x8b: {
        // LONG4
        const length = u32();
        if (length > MAX_INT_BYTES) throw wrong(`an int of ${length} bytes`, `at most ${MAX_INT_BYTES}`);
        push(longOf(slice(length)));
        break;
      }
      case 0x46:
        push(floatOf(line(), wrong));
        break; // F  FLOAT
      case 0x47:
        push(view.getFloat64(take(8), false));
        break; // G  BINFLOAT
      case 0x53:
        push(stringOf(line(), wrong));
        break; // S  STRING
      case 0x54:
        push(latin1(slice(u32())));
        break; // T  BINSTRING: Python 2's bytes
      case 0x55:
        push(latin1(slice(u8())));
        break; // U  SHORT_BINSTRING
      case 0x56:
        push(unescaped(line(), wrong));
        break; // V  UNICODE
      case 0x58:
        push(text(u32()));
        break; // X  BINUNICODE
      case 0x8c:
        push(text(u8()));
        break; // SHORT_BINUNICODE
      case 0x8d:
        push(text(u64()));
        break; // BINUNICODE8
      case 0x42:
        pushObject(slice(u32()).slice());
        break; // B  BINBYTES
      case 0x43:
        pushObject(slice(u8()).slice());
        break; // C  SHORT_BINBYTES
      case 0x8e: // BINBYTES8
      case 0x96:
        pushObject(slice(u64()).slice());
        break; // BYTEARRAY8
      case 0x5d:
        pushObject([]);
        break; // ]  EMPTY_LIST
      case 0x29:
        pushObject([]);
        break; // )  EMPTY_TUPLE
      case 0x6c: // l  LIST
      case 0x74:
        pushList(popMark());
        break; // t  TUPLE
      case 0x85: // TUPLE1
      case 0x86: // TUPLE2
      case 0x87:
        pushList(lastItems(opcode - 0x84));
        break; // TUPLE3
      case 0x61:
        append([pop()]);
        break; // a  APPEND
      case 0x65:
        append(popMark());
        break; // e  APPENDS
      case 0x7d:
        pushObject(new Map<PickleValue, PickleValue>());
        break; // }  EMPTY_DICT
      case 0x64: {
        // d  DICT
        const items = popMark();
        pushObject(new Map<PickleValue, PickleValue>());
        setItems(items);
        break;
      }
      case 0x73:
        setItems(lastItems(2));
        break; // s  SETITEM
      case 0x75:
        setItems(popMark());
        break; // u  SETITEMS
      case 0x8f:
        pushObject(new Set<PickleValue>());
        break; // EMPTY_SET
      case 0x90: {
        // ADDITEMS
        const items = popMark();
        const set = top();
        if (!(set instanceof Set)) throw wrong('elements for something that is no set', 'a set');
        toSet(set, items);
        break;
      }
      case 0x91:
        pushObject(toSet(new Set(), popMark()));
        break; // FROZENSET
      case 0x67:
        get(indexOf(line(), wrong));
        break; // g  GET
      case 0x68:
        get(u8());
        break; // h  BINGET
      case 0x6a:
        get(u32());
        break; // j  LONG_BINGET
      case 0x70:
        put(indexOf(line(), wrong));
        break; // p  PUT
      case 0x71:
        put(u8());
        break; // q  BINPUT
      case 0x72:
        put(u32());
        break; // r  LONG_BINPUT
      case 0x94:
        put(memo.size);
        break; // MEMOIZE
      case 0x63:
        push(findGlobal(line(), line()));
        break; // c  GLOBAL
      case 0x93: {
        // STACK_GLOBAL
        const name = pop();
        push(findGlobal(pop(), name));
        break;
      }
      case 0x69:
        findGlobal(line(), line());
        throw wrong('an instance in the way of Python 2', 'plain data'); // i  INST
      case 0x50:
        persist(line());
        break; // P  PERSID
      case 0x51:
        persist(pop());
        break; // Q  BINPERSID
      case 0x52: // R  REDUCE
      case 0x81:
        construct();
        break; // NEWOBJ
      case 0x62:
        build();
        break; // b  BUILD
      default: // OBJ, NEWOBJ_EX, EXT1 to EXT4, NEXT_BUFFER, READONLY_BUFFER and what is no opcode
        throw wrong(`the pickle opcode 0x${opcode.toString(16)} at byte ${at - 1}`, 'one that makes plain data');
    }
  }
}
