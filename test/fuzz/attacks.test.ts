// Attacks made by hand, as bytes: pickles that call, pickles and archives that claim or unfold more
// than they are. Each must be refused with a WeightsError, the calls by the name of what they call,
// all within the same bounds as the fuzzer's cases.
// Needs: no GPU.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { stateDict, torchLegacy, torchZip } from './corpus.ts';
import { Fuzzer } from './fuzzer.ts';
import {
  bytesOf,
  dict,
  global,
  int,
  list,
  little,
  ordered,
  orderedDict,
  pickle,
  reduce,
  short,
  stackGlobal,
  tensorCode,
  tuple,
  unicode,
} from './pickle_code.ts';
import { zipOf } from './zip_code.ts';

const test = suite('attacks');
const fuzzer = new Fuzzer();
test.after(() => fuzzer.close());

const zeros = (n: number) => new Uint8Array(n);

type File = readonly [name: string, bytes: Uint8Array, expected: RegExp];

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
const REFUSED = /WeightsError: /;
const named = (name: string) => new RegExp(`WeightsError: .*${name.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}`);

/** A call of each name, in each way that a protocol has. */
const CALLED = [
  'os.system', 'posix.system', 'nt.system', 'os.popen', 'os.execv', 'subprocess.Popen', 'subprocess.check_output', 'builtins.eval', 'builtins.exec', 'builtins.getattr', 'builtins.__import__', 'builtins.open', 'builtins.compile',
  '__builtin__.eval', '__builtin__.apply', 'importlib.import_module', 'pty.spawn', 'socket.create_connection', 'shutil.rmtree', 'runpy._run_code', 'pickle.loads', '_pickle.loads', 'marshal.loads', 'types.FunctionType', 'types.CodeType',
  'operator.attrgetter', 'operator.methodcaller', 'functools.partial', 'functools.reduce', 'torch.load', 'torch.hub.load', 'torch.jit.load', 'torch._utils._rebuild_device_tensor_from_numpy', 'torch.utils._config_module.exec',
  'numpy.load', 'numpy.testing._private.utils.runstring', 'webbrowser.open', 'sys.exit', 'collections.OrderedDict.__init__', 'toString.constructor', '__proto__.constructor', 'constructor.constructor',
]; // prettier-ignore

function calls(): File[] {
  return CALLED.flatMap((full): File[] => {
    const [module, name] = [full.slice(0, full.lastIndexOf('.')), full.slice(full.lastIndexOf('.') + 1)];
    const expected = named(full);
    const command = unicode('touch /tmp/owned');
    return [
      [`${full}, protocol 0`, bytesOf(`c${module}\n${name}\n(S'touch /tmp/owned'\ntR.`), expected],
      [`${full}, protocol 2`, pickle(reduce(global(module, name), command)), expected],
      [
        `${full}, protocol 4`,
        pickle(bytesOf([0x95], little(40, 8), stackGlobal(module, name), [0x94], command, [0x85], 'R'), 4),
        expected,
      ],
      [`${full}, INST`, bytesOf(`(S'touch /tmp/owned'\ni${module}\n${name}\n.`), expected],
      [`${full}, OBJ`, bytesOf('(', global(module, name), command, 'o.'), expected],
      [`${full}, NEWOBJ`, pickle(bytesOf(global(module, name), command, [0x85, 0x81])), expected],
      [`${full}, NEWOBJ_EX`, pickle(bytesOf(global(module, name), command, [0x85], '}', [0x92]), 4), expected],
      [`${full}, only named`, pickle(dict({ a: global(module, name) })), expected],
      [
        `${full}, within a tensor`,
        pickle(
          ordered({
            weight: reduce(global('torch._utils', '_rebuild_tensor_v2'), reduce(global(module, name), command)),
          }),
        ),
        expected,
      ],
      [
        `${full}, as the arguments of an allowed one`,
        pickle(bytesOf(global('collections', 'OrderedDict'), reduce(global(module, name), command), 'R')),
        expected,
      ],
      [`${full}, as state`, pickle(bytesOf(orderedDict, reduce(global(module, name), command), 'b')), expected],
      [
        `${full}, in a persistent id`,
        pickle(
          bytesOf(
            tuple(unicode('storage'), reduce(global(module, name), command), unicode('0'), unicode('cpu'), int(1)),
            'Q',
          ),
        ),
        expected,
      ],
    ];
  });
}

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

const pickles: readonly File[] = [
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
const harmless: readonly (readonly [name: string, bytes: Uint8Array])[] = [
  ['the key __proto__', pickle(dict({ __proto__: int(1), constructor: int(2), toString: int(3) }))],
  ['the key __proto__, bare', pickle(bytesOf('}', unicode('__proto__'), '}', unicode('polluted'), int(1), 'ss'))],
  ['a key twice', pickle(bytesOf('}(', unicode('a'), int(1), unicode('a'), int(2), 'u'))],
  ['os.system as text', pickle(list(unicode('os'), short('system')))],
  ['a FRAME that is wrong by a little', pickle(bytesOf([0x95], little(1, 8), 'N'), 4)],
  ['marks within the limit', pickle(bytesOf(times(50, '('), times(50, 't')))],
];

async function outcomes(
  format: string,
  files: readonly (readonly [string, Uint8Array, ...unknown[]])[],
): Promise<string[]> {
  const { results } = await fuzzer.run({
    format,
    seed: 0,
    from: 0,
    to: files.length,
    files: files.map(([name, bytes]) => ({ name, bytes })),
  });
  return results;
}

async function expectAll(format: string, files: readonly File[]): Promise<void> {
  const results = await outcomes(format, files);
  const wrong = files.flatMap(([name, , expected], i) =>
    expected.test(results[i] ?? '') && !/\u001b/.test(results[i]!)
      ? []
      : [`${name}: got ${results[i]?.slice(0, 300)}, expected ${expected}`],
  );
  assert.is(wrong.slice(0, 40).join('\n'), '');
}

test('pickles that attack are refused, calls by name', () => expectAll('pickle', pickles));

test('the same as the data.pkl of a PyTorch file, and in the older format', async () => {
  const some = pickles
    .filter(([name], i) => i % 12 < 2 || !/\.\w+, /.test(name))
    .filter(([, bytes]) => bytes.length < 100_000);
  await expectAll(
    'torch',
    some.map(([name, bytes, expected]): File => [name, torchZip(bytes), expected]),
  );
  await expectAll(
    'legacy',
    some.map(([name, bytes, expected]): File => [name, torchLegacy(bytes), expected]),
  );
});

test('a call in each of the five pickles of the older format', async () => {
  const call = reduce(global('os', 'system'), unicode('x'));
  const whole = torchLegacy(pickle(stateDict(true)));
  const files: File[] = [];
  // Each pickle begins with PROTO 2: cut there, put the call in front of what follows.
  for (let at = 0; (at = Buffer.from(whole).indexOf(bytesOf([0x80, 2]), at)) >= 0 && files.length < 5; at++)
    files.push([
      `at ${at}`,
      bytesOf(whole.subarray(0, at), pickle(call), whole.subarray(at)),
      /WeightsError: .*(os\.system|did not write)/,
    ]);
  assert.is(files.length, 5);
  await expectAll('legacy', files);
});

test('plain data with odd names is plain data', async () => {
  assert.equal(
    await outcomes('pickle', harmless),
    harmless.map(() => 'loaded'),
  );
  assert.is((Object.prototype as { polluted?: unknown }).polluted, undefined);
});

const member = (name: string, data = bytesOf('abc')) => ({ name, data });
const overlap = (() => {
  const inner = member('a.npy', zeros(300));
  return zipOf([inner, { ...member('b.npy', zeros(300)), claims: { offset: 0 } }]);
})();

const code = pickle(stateDict());
const archives: readonly File[] = [
  ['overlapping members', overlap, REFUSED],
  ['a name twice', zipOf([member('a'), member('a')]), REFUSED],
  ['a size of 4 GiB', zipOf([{ ...member('a'), claims: { size: 2 ** 32 - 2, packed: 2 ** 32 - 2 } }]), REFUSED],
  ['a member of an unknown compression', zipOf([{ ...member('a'), claims: { method: 12 } }]), REFUSED],
  ['an encrypted member', zipOf([{ ...member('a'), claims: { flags: 1 } }]), REFUSED],
  ['a directory behind the file', bytesOf('PK\x05\x06', little(0, 4), little(1, 2), little(1, 2), little(46, 4), little(2 ** 31, 4), little(0, 2)), REFUSED],
  ['65,535 members in no bytes', bytesOf('PK\x05\x06', little(0, 4), little(65_535, 2), little(65_535, 2), little(0, 4), little(0, 4), little(0, 2)), REFUSED],
  ['a ZIP64 directory of 2^62 members', bytesOf(zeros(60), 'PK\x06\x06', little(44, 8), little(45, 2), little(45, 2), little(0, 8), little(2n ** 62n, 8), little(2n ** 62n, 8), little(2n ** 62n, 8), little(0, 8), 'PK\x06\x07', little(0, 4), little(60, 8), little(1, 4),
    'PK\x05\x06', little(0, 4), little(65_535, 2), little(65_535, 2), little(2 ** 32 - 1, 4), little(2 ** 32 - 1, 4), little(0, 2)), REFUSED],
  ['only the end', bytesOf('PK\x05\x06'), REFUSED],
]; // prettier-ignore

const torchArchives: readonly File[] = [
  ['no data.pkl', zipOf([member('archive/version')]), /data\.pkl/],
  ['two data.pkl', zipOf([member('a/data.pkl', code), member('b/data.pkl', code)]), REFUSED],
  ['data.pkl that inflates 1000 times, 60 MB', zipOf([{ ...member('archive/data.pkl', zeros(60_000_000)), deflate: true }]), REFUSED],
  ['data.pkl of empty lists, 15 MB of them in 15 kB', zipOf([{ ...member('archive/data.pkl', new Uint8Array(15_000_000).fill(0x5d)), deflate: true }]), REFUSED],
  ['data.pkl that inflates to more than is said', zipOf([{ ...member('archive/data.pkl', zeros(5_000_000)), deflate: true, claims: { size: 100 } }]), REFUSED],
  ['data.pkl outside of the archive', zipOf([member('../../data.pkl', code)]), REFUSED],
  ['a storage that is not there', zipOf([member('archive/data.pkl', code), member('archive/data/0', zeros(48))]), REFUSED],
  ['a storage that is too short', zipOf([member('archive/data.pkl', code), ...['0', '1', '2', '3'].map((key) => member(`archive/data/${key}`, zeros(3)))]), REFUSED],
  ['a storage that inflates 1000 times, 200 MB', (() => {
    const state = pickle(ordered({ a: tensorCode({ storage: 'ByteStorage', key: '0', count: 200_000_000, shape: [200_000_000] }) }));
    return zipOf([member('archive/data.pkl', state), { ...member('archive/data/0', zeros(200_000_000)), deflate: true }]);
  })(), REFUSED],
  ['a tensor of 2^50 elements of one byte', torchZip(pickle(ordered({ a: tensorCode({ storage: 'BoolStorage', key: '3', count: 5, shape: [2 ** 25, 2 ** 25], strides: [0, 0] }) }))), REFUSED],
  ['a tensor beyond its storage', torchZip(pickle(ordered({ a: tensorCode({ storage: 'BoolStorage', key: '3', count: 5, shape: [2], strides: [5] }) }))), REFUSED],
  ['an offset beyond its storage', torchZip(pickle(ordered({ a: tensorCode({ storage: 'BoolStorage', key: '3', count: 5, offset: 5, shape: [1] }) }))), REFUSED],
  ['a storage key that leaves the archive', torchZip(pickle(ordered({ a: tensorCode({ storage: 'BoolStorage', key: '../../../etc/passwd', count: 5, shape: [1] }) }))), REFUSED],
]; // prettier-ignore

test('archives that lie are refused', async () => {
  await expectAll('zip', archives);
  await expectAll('npz', archives);
});

test('PyTorch files that lie are refused', () => expectAll('torch', torchArchives));

test('members named to leave the folder write nothing', async () => {
  const names = ['../../x.npy', '/etc/x.npy', 'C:\\x.npy', '..\\x.npy', 'a/../../x.npy', '\u0000.npy', '__proto__.npy'];
  const results = await outcomes(
    'npz',
    names.map((name) => [name, zipOf([member(name, zeros(0))])] as const),
  );
  for (const [i, result] of results.entries())
    assert.match(result, /^(WeightsError|loaded)/, `${JSON.stringify(names[i])}: ${result}`);
  await outcomes(
    'zip',
    names.map((name) => [name, zipOf([member(name)])] as const),
  ).then((all) => all.forEach((result) => assert.match(result, /^(WeightsError|loaded)/)));
});

test.run();
