// Pickles by hand: an assembler for the fuzz corpus and the attacks, and a splitter that finds
// opcodes in bytes. Runs nothing. Reference: CPython Lib/pickletools.py (the opcodes),
// torch/serialization.py (what tensors look like).

const encoder = new TextEncoder();

export function bytesOf(...parts: (string | number | Uint8Array | readonly number[])[]): Uint8Array<ArrayBuffer> {
  const list = parts.map((part) =>
    typeof part === 'string'
      ? encoder.encode(part)
      : typeof part === 'number'
        ? Uint8Array.of(part)
        : Uint8Array.from(part),
  );
  const out = new Uint8Array(list.reduce((sum, part) => sum + part.length, 0));
  list.reduce((at, part) => (out.set(part, at), at + part.length), 0);
  return out;
}

export function little(value: number | bigint, size: number): Uint8Array<ArrayBuffer> {
  return Uint8Array.from({ length: size }, (_, i) =>
    Number((BigInt.asUintN(64, BigInt(value)) >> BigInt(8 * i)) & 0xffn),
  );
}

/**
 * Bytes of argument by opcode: a number, lines of text, or a length of so many bytes and then that
 * much.
 */
const ARGUMENTS: Readonly<Record<string, number | 'line' | 'lines' | 'counted1' | 'counted4' | 'counted8'>> = {
  I: 'line', L: 'line', F: 'line', S: 'line', V: 'line', P: 'line', p: 'line', g: 'line', c: 'lines', i: 'lines',
  J: 4, K: 1, M: 2, G: 8, q: 1, r: 4, h: 1, j: 4, '\x80': 1, '\x82': 1, '\x83': 2, '\x84': 4, '\x95': 8,
  U: 'counted1', C: 'counted1', '\x8a': 'counted1', '\x8c': 'counted1', T: 'counted4', X: 'counted4', B: 'counted4', '\x8b': 'counted4', '\x8d': 'counted8', '\x8e': 'counted8', '\x96': 'counted8',
}; // prettier-ignore

/** Where each opcode begins, and the integers among the arguments; stops at what is no pickle. */
export function splitPickle(
  bytes: Uint8Array,
  from = 0,
): { cuts: number[]; fields: { at: number; size: number }[]; end: number } {
  const cuts: number[] = [];
  const fields: { at: number; size: number }[] = [];
  let at = from;
  while (at < bytes.length) {
    cuts.push(at);
    const code = String.fromCharCode(bytes[at++]!);
    if (code === '.') break;
    const kind = ARGUMENTS[code] ?? 0;
    if (typeof kind === 'number') {
      if (kind) fields.push({ at, size: kind });
      at += kind;
    } else if (kind.startsWith('counted')) {
      const size = Number(kind.slice(7));
      fields.push({ at, size });
      let length = 0;
      for (let i = size - 1; i >= 0; i--) length = length * 256 + (bytes[at + i] ?? 0);
      at += size + length;
    } else {
      for (let lines = kind === 'lines' ? 2 : 1; lines > 0; lines--) {
        const end = bytes.indexOf(10, at);
        at = end < 0 ? bytes.length : end + 1;
      }
    }
  }
  return { cuts, fields, end: Math.min(at, bytes.length) };
}

const proto = (version: number) => bytesOf(0x80, version);
export const global = (module: string, name: string) => bytesOf(`c${module}\n${name}\n`);
export const stackGlobal = (module: string, name: string) => bytesOf(short(module), short(name), 0x93);
export const unicode = (text: string) => bytesOf('X', little(encoder.encode(text).length, 4), text);
export const short = (text: string) => bytesOf(0x8c, encoder.encode(text).length, text);
export const int = (value: number) =>
  value >= 0 && value < 256
    ? bytesOf('K', value)
    : value >= 0 && value < 65_536
      ? bytesOf('M', little(value, 2))
      : bytesOf('J', little(value, 4));
export const tuple = (...parts: Uint8Array[]) => bytesOf('(', ...parts, 't');
export const reduce = (callable: Uint8Array, ...args: Uint8Array[]) => bytesOf(callable, tuple(...args), 'R');
export const orderedDict = bytesOf('ccollections\nOrderedDict\n)R');
export const dict = (entries: Readonly<Record<string, Uint8Array>>) =>
  bytesOf('}(', ...Object.entries(entries).map(([key, value]) => bytesOf(unicode(key), value)), 'u');
export const ordered = (entries: Readonly<Record<string, Uint8Array>>) =>
  bytesOf(orderedDict, '(', ...Object.entries(entries).map(([key, value]) => bytesOf(unicode(key), value)), 'u');
export const list = (...items: Uint8Array[]) => bytesOf('](', ...items, 'e');
export const pickle = (body: Uint8Array, version = 2) => bytesOf(version >= 2 ? proto(version) : '', body, '.');

export interface TensorCode {
  storage: string;
  key: string;
  /** Elements of the storage. */
  count: number;
  offset?: number;
  shape: readonly number[];
  strides?: readonly number[];
  legacy?: boolean;
}

/** `torch._utils._rebuild_tensor_v2(storage, offset, shape, strides, False, OrderedDict())`. */
export function tensorCode({
  storage,
  key,
  count,
  offset = 0,
  shape,
  strides,
  legacy,
}: TensorCode): Uint8Array<ArrayBuffer> {
  const steps =
    strides ?? shape.map((_, axis) => shape.slice(axis + 1).reduce((product, length) => product * length, 1));
  const persistent = bytesOf(
    tuple(
      unicode('storage'),
      global('torch', storage),
      unicode(key),
      unicode('cpu'),
      int(count),
      ...(legacy ? [bytesOf('N')] : []),
    ),
    'Q',
  );
  return reduce(
    global('torch._utils', '_rebuild_tensor_v2'),
    persistent,
    int(offset),
    tuple(...shape.map(int)),
    tuple(...steps.map(int)),
    bytesOf(0x89),
    orderedDict,
  );
}
