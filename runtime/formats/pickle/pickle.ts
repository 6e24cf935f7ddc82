// A restricted reader of Python pickles, protocols 0 to 5: bytes in, plain data out.
// It calls nothing: see machine.ts for globals and for the limits. Extension codes, old-style
// instances, out-of-band buffers, and state for anything but a few objects are refused.
// Reference: CPython's Lib/pickletools.py, which says what each opcode does.

import { PickleMachine, type PickleOptions } from './machine.ts';
import {
  checkExtent,
  floatOf,
  indexOf,
  intOf,
  latin1,
  longOf,
  stringOf,
  unescaped,
  type PickleValue,
} from './values.ts';

export { PickleCutError } from './machine.ts';

/** The most bytes of a file that are read as a pickle. */
export const MAX_PICKLE = 16 * 2 ** 20;

// Far above what a checkpoint with its optimiser's state has (some 30 operations for each tensor).
const MAX_OPERATIONS = 2_000_000;
const MAX_INT_BYTES = 1_024;

const STOP = 0x2e; // .

const OPERATIONS = new Map<number, (m: PickleMachine) => void>([
  [0x80, protocol], //                                          PROTO
  [0x95, (m) => void m.u64()], //                               FRAME

  [0x28, (m) => m.mark()], //                                   MARK (
  [0x30, (m) => m.popValueOrMark()], //                         POP 0
  [0x31, (m) => void m.popMark()], //                           POP_MARK 1
  [0x32, (m) => m.push(m.top())], //                            DUP 2

  [0x4e, (m) => m.push(null)], //                               NONE N
  [0x88, (m) => m.push(true)], //                               NEWTRUE
  [0x89, (m) => m.push(false)], //                              NEWFALSE
  [0x49, (m) => m.push(intOf(m.line(), m.wrong))], //           INT I
  [0x4c, (m) => m.push(intOf(m.line(), m.wrong))], //           LONG L
  [0x4a, (m) => m.push(m.i32())], //                            BININT J
  [0x4b, (m) => m.push(m.u8())], //                             BININT1 K
  [0x4d, (m) => m.push(m.u16())], //                            BININT2 M
  [0x8a, (m) => m.push(longOf(m.slice(m.u8())))], //            LONG1
  [0x8b, (m) => m.push(longOf(m.slice(intBytes(m))))], //       LONG4
  [0x46, (m) => m.push(floatOf(m.line(), m.wrong))], //         FLOAT F
  [0x47, (m) => m.push(m.f64())], //                            BINFLOAT G

  [0x53, (m) => m.push(stringOf(m.line(), m.wrong))], //        STRING S
  [0x54, (m) => m.push(latin1(m.slice(m.u32())))], //           BINSTRING T: Python 2's bytes
  [0x55, (m) => m.push(latin1(m.slice(m.u8())))], //            SHORT_BINSTRING U
  [0x56, (m) => m.push(unescaped(m.line(), m.wrong))], //       UNICODE V
  [0x58, (m) => m.push(m.text(m.u32()))], //                    BINUNICODE X
  [0x8c, (m) => m.push(m.text(m.u8()))], //                     SHORT_BINUNICODE
  [0x8d, (m) => m.push(m.text(m.u64()))], //                    BINUNICODE8
  [0x42, (m) => m.pushObject(m.slice(m.u32()).slice())], //     BINBYTES B
  [0x43, (m) => m.pushObject(m.slice(m.u8()).slice())], //      SHORT_BINBYTES C
  [0x8e, (m) => m.pushObject(m.slice(m.u64()).slice())], //     BINBYTES8
  [0x96, (m) => m.pushObject(m.slice(m.u64()).slice())], //     BYTEARRAY8

  [0x5d, (m) => m.pushObject([])], //                           EMPTY_LIST ]
  [0x6c, (m) => m.pushList(m.popMark())], //                    LIST l
  [0x61, (m) => m.append([m.pop()])], //                        APPEND a
  [0x65, (m) => m.append(m.popMark())], //                      APPENDS e
  [0x29, (m) => m.pushObject([])], //                           EMPTY_TUPLE )
  [0x74, (m) => m.pushList(m.popMark())], //                    TUPLE t
  [0x85, (m) => m.pushList(m.popItems(1))], //                  TUPLE1
  [0x86, (m) => m.pushList(m.popItems(2))], //                  TUPLE2
  [0x87, (m) => m.pushList(m.popItems(3))], //                  TUPLE3
  [0x7d, (m) => m.pushDict()], //                               EMPTY_DICT }
  [0x64, (m) => m.pushDict(m.popMark())], //                    DICT d
  [0x73, (m) => m.setItems(m.popItems(2))], //                  SETITEM s
  [0x75, (m) => m.setItems(m.popMark())], //                    SETITEMS u
  [0x8f, (m) => m.pushSet()], //                                EMPTY_SET
  [0x90, (m) => m.addItems(m.popMark())], //                    ADDITEMS
  [0x91, (m) => m.pushSet(m.popMark())], //                     FROZENSET

  [0x67, (m) => m.get(indexOf(m.line(), m.wrong))], //          GET g
  [0x68, (m) => m.get(m.u8())], //                              BINGET h
  [0x6a, (m) => m.get(m.u32())], //                             LONG_BINGET j
  [0x70, (m) => m.put(indexOf(m.line(), m.wrong))], //          PUT p
  [0x71, (m) => m.put(m.u8())], //                              BINPUT q
  [0x72, (m) => m.put(m.u32())], //                             LONG_BINPUT r
  [0x94, (m) => m.put(m.memoSize)], //                          MEMOIZE

  [0x63, (m) => m.push(m.findGlobal(m.line(), m.line()))], //   GLOBAL c
  [0x93, stackGlobal], //                                       STACK_GLOBAL
  [0x69, oldInstance], //                                       INST i
  [0x50, (m) => m.persist(m.line())], //                        PERSID P
  [0x51, (m) => m.persist(m.pop())], //                         BINPERSID Q
  [0x52, (m) => m.construct()], //                              REDUCE R
  [0x81, (m) => m.construct()], //                              NEWOBJ
  [0x62, (m) => m.build()], //                                  BUILD b
]); // Not here: OBJ, NEWOBJ_EX, EXT1 to EXT4, NEXT_BUFFER, READONLY_BUFFER, and what is no opcode.

/**
 * Reads one pickle of `bytes`; `end` is the offset behind it. Throws `WeightsError`, as
 * `PickleCutError` where bytes are missing.
 */
export function unpickle(bytes: Uint8Array, options: PickleOptions): { value: PickleValue; end: number } {
  const m = new PickleMachine(bytes, options);
  for (let operations = 0; ; operations++) {
    if (operations > MAX_OPERATIONS) throw m.wrong(`more than ${MAX_OPERATIONS} operations`, 'fewer');
    const opcode = m.u8();
    if (opcode === STOP) {
      const value = m.pop();
      checkExtent(value, m.wrong);
      return { value, end: m.at };
    }
    const operation = OPERATIONS.get(opcode);
    if (!operation)
      throw m.wrong(`the pickle opcode 0x${opcode.toString(16)} at byte ${m.at - 1}`, 'one that makes plain data');
    operation(m);
  }
}

function protocol(m: PickleMachine): void {
  const version = m.u8();
  if (version > 5) throw m.wrong(`pickle protocol ${version}`, 'one up to 5');
}

function intBytes(m: PickleMachine): number {
  const length = m.u32();
  if (length > MAX_INT_BYTES) throw m.wrong(`an int of ${length} bytes`, `at most ${MAX_INT_BYTES}`);
  return length;
}

function stackGlobal(m: PickleMachine): void {
  const name = m.pop();
  m.push(m.findGlobal(m.pop(), name));
}

function oldInstance(m: PickleMachine): never {
  m.findGlobal(m.line(), m.line()); // so that a name which is refused is named
  throw m.wrong('an instance in the way of Python 2', 'plain data');
}
