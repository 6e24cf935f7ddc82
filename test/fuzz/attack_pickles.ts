// Pickles that attack their reader: calls of other code, bombs, lies about lengths; and harmless
// ones that look alike.

import {
  bytesOf,
  dict,
  global,
  int,
  list,
  little,
  orderedDict,
  pickle,
  reduce,
  short,
  tensorCode,
  tuple,
  unicode,
} from './pickle_code.ts';
import { zeros, type File, REFUSED } from './attack_files.ts';
import { named, calls } from './attack_calls.ts';

const times = (count: number, ...parts: Parameters<typeof bytesOf>) => {
  const one = bytesOf(...parts);
  const out = new Uint8Array(one.length * count);
  for (let i = 0; i < count; i++) out.set(one, i * one.length);
  return out;
};

/** LONG_BINPUT to so many places far apart. */
const puts = (count: number) => {
  const out = times(count, 'r', zeros(4));
  const view = new DataView(out.buffer);
  for (let i = 0; i < count; i++) view.setUint32(5 * i + 1, i * 7001, true);
  return out;
};
// prettier-ignore
/** Doubling `levels` times by the memo: 2^levels values from a few bytes each. */
const laughs = (levels: number, open = '](', close = 'e') =>
  bytesOf(
    open,
    unicode('ha'),
    close,
    'q\x00',
    ...Array.from({ length: levels }, () => bytesOf(open, 'h\x00h\x00h\x00h\x00', close, 'q\x00')),
  );

const BIG = 1_000_000;

export const pickles: readonly File[] = [
  ...calls(),
  ['nested reduce', pickle(reduce(reduce(global('torch._utils', '_rebuild_tensor_v2'), int(1)), int(2))), REFUSED],
  ['reduce of a list', pickle(bytesOf(list(int(1)), tuple(), 'R')), REFUSED],
  ['reduce of text', pickle(reduce(unicode('os.system'), unicode('x'))), REFUSED],
  ['reduce of an OrderedDict that was made', pickle(reduce(orderedDict, int(1))), REFUSED],
  ['OrderedDict of an int', pickle(reduce(global('collections', 'OrderedDict'), int(3))), REFUSED],
  ['OrderedDict of no tuple', pickle(bytesOf(global('collections', 'OrderedDict'), int(3), 'R')), REFUSED],
  ['_rebuild_tensor_v2 of nothing', pickle(reduce(global('torch._utils', '_rebuild_tensor_v2'))), REFUSED],
  [
    '_rebuild_tensor_v2 of text',
    pickle(
      reduce(global('torch._utils', '_rebuild_tensor_v2'), unicode('a'), unicode('b'), unicode('c'), unicode('d')),
    ),
    REFUSED,
  ],
  [
    '_rebuild_parameter of a dict',
    pickle(reduce(global('torch._utils', '_rebuild_parameter'), dict({}), bytesOf(0x89), orderedDict)),
    REFUSED,
  ],
  ['storage called', pickle(reduce(global('torch', 'FloatStorage'), int(1))), REFUSED],
  [
    'state for a tensor',
    pickle(
      bytesOf(
        tensorCode({ storage: 'FloatStorage', key: '0', count: 12, shape: [3] }),
        dict({ __setstate__: unicode('x'), __class__: unicode('os.system') }),
        'b',
      ),
    ),
    REFUSED,
  ],
  ['state for a list', pickle(bytesOf(']', dict({ a: int(1) }), 'b')), REFUSED],
  ['state for a number', pickle(bytesOf(int(1), '}b')), REFUSED],
  ['EXT1', pickle(bytesOf([0x82, 1])), REFUSED],
  ['EXT2', pickle(bytesOf([0x83, 1, 0])), REFUSED],
  ['EXT4', pickle(bytesOf([0x84, 1, 0, 0, 0])), REFUSED],
  ['NEXT_BUFFER', pickle(bytesOf([0x97]), 5), REFUSED],
  ['READONLY_BUFFER', pickle(bytesOf('N', [0x98]), 5), REFUSED],
  ['PERSID', bytesOf('Pos.system\n.'), REFUSED],
  ['a persistent id that is a number', pickle(bytesOf(int(7), 'Q')), REFUSED],
  [
    'a persistent id of other things',
    pickle(
      bytesOf(tuple(unicode('module'), global('torch', 'FloatStorage'), unicode('0'), unicode('cpu'), int(1)), 'Q'),
    ),
    REFUSED,
  ],
  ['GLOBAL over lines', bytesOf('cos\nsystem\nfoo\n.'), named('os.system')],
  ['GLOBAL of no ASCII', bytesOf('c\u00f6s\nsyst\u00e9m\n.'), REFUSED],
  ['GLOBAL with a terminal escape', bytesOf('cos\u001b[2J\nsystem\n.'), REFUSED],
  ['GLOBAL without an end', bytesOf('cos\nsystem'), REFUSED],
  ['GLOBAL with a long name', bytesOf(`cos\n${'x'.repeat(BIG)}\n.`), REFUSED],
  ['GLOBAL of dots', bytesOf('ccollections\nOrderedDict.__class__\n.'), named('OrderedDict.__class__')],
  ['STACK_GLOBAL of numbers', pickle(bytesOf(int(1), int(2), [0x93]), 4), REFUSED],
  ['STACK_GLOBAL of lists', pickle(bytesOf(list(unicode('os')), list(unicode('system')), [0x93]), 4), REFUSED],
  ['STACK_GLOBAL of what unfolds', pickle(bytesOf(laughs(40), 'h\x00', [0x93]), 4), REFUSED],
  ['STACK_GLOBAL of an empty stack', pickle(bytesOf([0x93]), 4), REFUSED],
  ['memo bomb of lists', pickle(laughs(60)), REFUSED],
  ['memo bomb of tuples', pickle(laughs(60, '(', 't')), REFUSED],
  [
    'memo bomb of dict keys',
    pickle(bytesOf('}q\x00', ...Array.from({ length: 60 }, () => bytesOf('}(h\x00K\x01h\x00K\x02K\x03h\x00uq\x00')))),
    REFUSED,
  ],
  ['memo bomb by DUP', pickle(bytesOf(']', times(60, '2a'))), REFUSED],
  [
    'memo bomb in torch.device',
    pickle(bytesOf(laughs(40), global('torch', 'device'), 'h\x00', [0x85], 'R')),
    /WeightsError|loaded/,
  ], // devices are not looked at
  ['memo bomb in torch.Size', pickle(bytesOf(laughs(40), global('torch', 'Size'), 'h\x00', [0x85], 'R')), REFUSED],
  [
    'copies of large bytes',
    pickle(
      bytesOf(
        global('builtins', 'bytes'),
        'q\x01',
        'B',
        little(BIG, 4),
        new Uint8Array(BIG),
        'q\x00',
        times(2000, 'h\x01h\x00', [0x85], 'R'),
      ),
    ),
    REFUSED,
  ],
  [
    'copies of a large list',
    pickle(
      bytesOf(
        global('builtins', 'set'),
        'q\x01',
        '](',
        times(20_000, 'K\x01'),
        'eq\x00',
        times(20_000, 'h\x01h\x00', [0x85], 'R0'),
        'N',
      ),
    ),
    REFUSED,
  ],
  [
    'copies of a large OrderedDict',
    pickle(
      bytesOf(
        global('collections', 'OrderedDict'),
        'q\x01',
        '](',
        times(20_000, '](K\x01K\x02e'),
        'eq\x00',
        times(5_000, 'h\x01h\x00', [0x85], 'R'),
        'N',
      ),
    ),
    REFUSED,
  ],
  [
    'copies of a large torch.Size',
    pickle(
      bytesOf(
        global('torch', 'Size'),
        'q\x01(',
        times(20_000, 'K\x01'),
        'tq\x00',
        times(5_000, 'h\x01h\x00', [0x85], 'R'),
        'N',
      ),
    ),
    REFUSED,
  ],
  [
    'copies of large text',
    pickle(
      bytesOf(
        global('_codecs', 'encode'),
        'q\x01',
        unicode('x'.repeat(BIG)),
        'q\x00',
        unicode('latin1'),
        'q\x02',
        times(1000, 'h\x01h\x00h\x02', [0x86], 'R'),
      ),
    ),
    REFUSED,
  ],
  ['a list that holds itself', pickle(bytesOf(']q\x00h\x00a')), REFUSED],
  ['a dict that is its own key', pickle(bytesOf('}q\x00h\x00h\x00s')), REFUSED],
  ['lists nested 100,000 deep', pickle(bytesOf(times(100_000, ']'), times(99_999, 'a'))), REFUSED],
  ['tuples nested 100,000 deep', pickle(bytesOf(')', times(100_000, [0x85]))), REFUSED],
  ['dicts nested 100,000 deep', pickle(bytesOf(times(100_000, '}K\x01'), '}', times(100_000, 's'))), REFUSED],
  ['100,000 marks', pickle(bytesOf(times(100_000, '('), times(100_000, 't'))), REFUSED],
  [
    'OrderedDicts nested by reduce',
    pickle(bytesOf(')', times(50_000, [0x85], 'ccollections\nOrderedDict\n0'), 'ccollections\nOrderedDict\n)R)R')),
    REFUSED,
  ],
  ['a million marks', times(BIG, '('), REFUSED],
  ['a million empty lists', times(BIG, ']'), REFUSED],
  ['a million MEMOIZE', pickle(bytesOf(']', times(BIG, [0x94]))), REFUSED],
  ['a million PUTs', pickle(bytesOf(']', puts(600_000))), REFUSED],
  ['three million NONEs', pickle(times(3 * BIG, 'N')), REFUSED],
  ['a million DUPs of a list', pickle(bytesOf(']', times(BIG, '2'), times(BIG, 'a'))), REFUSED],
  ['one million empty dicts in a list', pickle(bytesOf('](', times(BIG, '}'), 'e')), REFUSED],
  ['a memo number that is not there', pickle(bytesOf('h\x09')), REFUSED],
  ['a memo number of 2^32 - 1', pickle(bytesOf(']r', little(2 ** 32 - 1, 4), 'j', little(2 ** 32 - 2, 4))), REFUSED],
  ['PUT of a negative number', bytesOf('(lp-1\n.'), REFUSED],
  ['PUT of text', bytesOf('(lp__proto__\n.'), REFUSED],
  ['LONG4 of 2 GiB', pickle(bytesOf([0x8b], little(2 ** 31 - 1, 4), 1, 2, 3)), REFUSED],
  ['LONG4 of a negative length', pickle(bytesOf([0x8b], little(-1, 4), 1, 2, 3)), REFUSED],
  ['LONG4 of a megabyte', pickle(bytesOf([0x8b], little(BIG, 4), new Uint8Array(BIG).fill(0x77))), REFUSED],
  ['INT of a million digits', bytesOf(`I${'9'.repeat(BIG)}\n.`), REFUSED],
  ['LONG of a million digits', bytesOf(`L${'9'.repeat(BIG)}L\n.`), REFUSED],
  ['FLOAT of a million digits', bytesOf(`F${'9'.repeat(BIG)}\n.`), REFUSED],
  ['FLOAT of text', bytesOf('F__import__\n.'), REFUSED],
  ['STRING without quotes', bytesOf('Sx\n.'), REFUSED],
  ['STRING of backslashes', bytesOf(`S'${'\\'.repeat(BIG + 1)}'\n`), REFUSED],
  ['BINUNICODE8 of 2^62', pickle(bytesOf([0x8d], little(2n ** 62n, 8), 'x')), REFUSED],
  ['BINUNICODE of 2 GiB', pickle(bytesOf('X', little(2 ** 31, 4), 'x')), REFUSED],
  ['BINUNICODE of bad UTF-8', pickle(bytesOf('X', little(2, 4), [0xc3, 0x28])), REFUSED],
  ['BINBYTES8 of 2^64 - 1', pickle(bytesOf([0x8e], little(2n ** 64n - 1n, 8), 'x'), 4), REFUSED],
  ['BYTEARRAY8 of 2^40', pickle(bytesOf([0x96], little(2n ** 40n, 8), 'x'), 5), REFUSED],
  ['FRAME of 2^62', pickle(bytesOf([0x95], little(2n ** 62n, 8), 'N'), 4), REFUSED],
  ['protocol 200', bytesOf([0x80, 200], 'N.'), REFUSED],
  ['no STOP', bytesOf([0x80, 2], 'N'), REFUSED],
  ['STOP of nothing', bytesOf('.'), REFUSED],
  ['POP of nothing', bytesOf('0.'), REFUSED],
  ['TUPLE without its mark', bytesOf('Nt.'), REFUSED],
  ['SETITEMS of an odd number', pickle(bytesOf('}(K\x01u')), REFUSED],
  ['SETITEM of a list', pickle(bytesOf(']K\x01K\x02s')), REFUSED],
  ['APPENDS to a dict', pickle(bytesOf('}(K\x01e')), REFUSED],
  ['ADDITEMS to a list', pickle(bytesOf('](K\x01', [0x90]), 4), REFUSED],
  ['an opcode that is none', bytesOf([0x80, 2, 0xfe], '.'), REFUSED],
  ['nothing at all', bytesOf(), REFUSED],
];

/** Pickles that look like attacks and are plain data. */
export const harmless: readonly (readonly [name: string, bytes: Uint8Array])[] = [
  ['the key __proto__', pickle(dict({ __proto__: int(1), constructor: int(2), toString: int(3) }))],
  ['the key __proto__, bare', pickle(bytesOf('}', unicode('__proto__'), '}', unicode('polluted'), int(1), 'ss'))],
  ['a key twice', pickle(bytesOf('}(', unicode('a'), int(1), unicode('a'), int(2), 'u'))],
  ['os.system as text', pickle(list(unicode('os'), short('system')))],
  ['a FRAME that is wrong by a little', pickle(bytesOf([0x95], little(1, 8), 'N'), 4)],
  ['marks within the limit', pickle(bytesOf(times(50, '('), times(50, 't')))],
];
