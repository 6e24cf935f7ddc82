// The globals of Python and NumPy that checkpoints hold besides tensors, each as a maker of plain
// data: ordered dicts, sets, bytes, and NumPy's scalars. Nothing else of these modules is read;
// NumPy's arrays and object dtypes are not.
// Reference: NumPy's numpy/core/src/multiarray (`scalar`, `dtype.__reduce__`,
// `dtype.__setstate__`).

import { float16ToFloat32 } from '../../base/half.ts';
import { isObject, narrow, type PickleGlobal, type PickleObject, type PickleValue, type Wrong } from './values.ts';

/** An entry of a table of globals. */
export function globalOf(name: string, construct?: PickleGlobal['construct']): [string, PickleGlobal] {
  return [name, construct ? { kind: 'global', name, construct } : { kind: 'global', name }];
}

interface NumpyDType extends PickleObject {
  readonly kind: 'numpy.dtype';
  readonly code: string;
  little: boolean;
}

const scalarReaders: Readonly<Record<string, (view: DataView, little: boolean) => PickleValue>> = {
  b1: (view) => view.getUint8(0) !== 0,
  i1: (view) => view.getInt8(0),
  u1: (view) => view.getUint8(0),
  i2: (view, little) => view.getInt16(0, little),
  u2: (view, little) => view.getUint16(0, little),
  i4: (view, little) => view.getInt32(0, little),
  u4: (view, little) => view.getUint32(0, little),
  i8: (view, little) => narrow(view.getBigInt64(0, little)),
  u8: (view, little) => narrow(view.getBigUint64(0, little)),
  f2: (view, little) => float16ToFloat32(Uint16Array.of(view.getUint16(0, little)))[0]!,
  f4: (view, little) => view.getFloat32(0, little),
  f8: (view, little) => view.getFloat64(0, little),
};

function dtype([code]: readonly PickleValue[], wrong: Wrong): NumpyDType {
  const plain = typeof code === 'string' ? code.replace(/^[<=|]/, '') : '';
  if (!Object.hasOwn(scalarReaders, plain))
    throw wrong(
      `the NumPy dtype ${JSON.stringify(typeof code === 'string' ? code.slice(0, 40) : null)}`,
      `one of ${Object.keys(scalarReaders).join(', ')}`,
    );
  return {
    kind: 'numpy.dtype',
    code: plain,
    little: true,
    build(state, wrong) {
      // (version, byte order, …); the rest is for structured dtypes.
      const order = Array.isArray(state) ? state[1] : undefined;
      if (order !== '<' && order !== '>' && order !== '|' && order !== '=')
        throw wrong('state of a NumPy dtype without a byte order', 'one');
      this.little = order !== '>';
    },
  };
}

function scalar([type, data]: readonly PickleValue[], wrong: Wrong): PickleValue {
  if (!type || !isObject(type) || type.kind !== 'numpy.dtype') throw wrong('a NumPy scalar without its dtype', 'one');
  const { code, little } = type as NumpyDType;
  const bytes = typeof data === 'string' ? fromLatin1(data, wrong) : data; // Python 2 wrote text
  if (!(bytes instanceof Uint8Array) || bytes.length !== Number(code[1]))
    throw wrong(`a NumPy scalar of ${code} without its bytes`, `${code[1]}`);
  return scalarReaders[code]!(new DataView(bytes.buffer, bytes.byteOffset, bytes.length), little);
}

function fromLatin1(text: string, wrong: Wrong): Uint8Array {
  return Uint8Array.from(text, (char) => {
    if (char > '\xff') throw wrong('bytes written as text beyond Latin-1', 'Latin-1');
    return char.charCodeAt(0);
  });
}

function bytes(args: readonly PickleValue[], wrong: Wrong): Uint8Array {
  const [from, encoding] = args;
  if (args.length === 0) return new Uint8Array(0);
  if (from instanceof Uint8Array) return from.slice();
  if (typeof from === 'string' && typeof encoding === 'string' && /^latin-?1$/i.test(encoding))
    return fromLatin1(from, wrong);
  if (Array.isArray(from) && from.every((byte) => typeof byte === 'number')) return Uint8Array.from(from);
  throw wrong('bytes in another encoding', 'latin1');
}

function set([items]: readonly PickleValue[], wrong: Wrong): Set<PickleValue> {
  if (items !== undefined && !Array.isArray(items)) throw wrong('a set of something that is no list', 'a list');
  return new Set(items);
}

function orderedDict([pairs]: readonly PickleValue[], wrong: Wrong): Map<PickleValue, PickleValue> {
  if (pairs === undefined) return new Map();
  if (!Array.isArray(pairs) || !pairs.every((pair) => Array.isArray(pair) && pair.length === 2))
    throw wrong('an OrderedDict of something that is no list of pairs', 'pairs');
  return new Map(pairs as [PickleValue, PickleValue][]);
}

/** By their full names; Python 2 and 3, and NumPy 1 and 2, spell some differently. */
export const plainGlobals: ReadonlyMap<string, PickleGlobal> = new Map([
  globalOf('collections.OrderedDict', orderedDict),
  globalOf('_codecs.encode', bytes),
  globalOf('numpy.dtype', dtype),
  ...['numpy.core.multiarray.scalar', 'numpy._core.multiarray.scalar'].map((name) => globalOf(name, scalar)),
  ...['builtins', '__builtin__'].flatMap((module) => [
    globalOf(`${module}.set`, set),
    globalOf(`${module}.frozenset`, set),
    globalOf(`${module}.bytes`, bytes),
    globalOf(`${module}.bytearray`, bytes),
  ]),
]);
