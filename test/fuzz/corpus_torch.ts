// Good pickles and PyTorch files that the fuzzer starts from.

import type { Sample } from './mutate.ts';
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
  splitPickle,
  stackGlobal,
  tensorCode,
  tuple,
  unicode,
  ordered,
} from './pickle_code.ts';
import { splitZip } from './zip_code.ts';
import { own, noise, fixtures, texts } from './corpus_parts.ts';
import { counted, floats } from './corpus_arrays.ts';
export const STORAGES: [key: string, bytes: Uint8Array, each: number][] = [
  ['0', floats(12), 4],
  ['1', noise(12, 3), 2],
  ['2', little(77, 8), 8],
  ['3', counted(5, 1), 1],
];

export const stateDict = (legacy = false) =>
  ordered({
    'a.weight': tensorCode({ storage: 'FloatStorage', key: '0', count: 12, shape: [3, 4], legacy }),
    'a.bias': tensorCode({
      storage: 'HalfStorage',
      key: '1',
      count: 6,
      offset: 2,
      shape: [2, 2],
      strides: [1, 2],
      legacy,
    }),
    tied: tensorCode({ storage: 'FloatStorage', key: '0', count: 12, shape: [3, 4], legacy }),
    steps: tensorCode({ storage: 'LongStorage', key: '2', count: 1, shape: [], legacy }),
    mask: tensorCode({ storage: 'BoolStorage', key: '3', count: 5, shape: [5], legacy }),
    wide: tensorCode({ storage: 'FloatStorage', key: '0', count: 12, shape: [2, 6], strides: [0, 2], legacy }),
  });

export const objects: readonly [string, Uint8Array][] = [
  ['protocol 0', bytesOf("(lp0\nI1\naI01\naL5L\naF1.5\naS'text'\np1\naV\\u00e9\np2\na(dp3\ng1\ng2\nsa.")],
  ['protocol 1', bytesOf('](K\x01M\x01\x01J', little(-5, 4), 'G', [0x3f, 0xf8, 0, 0, 0, 0, 0, 0], 'U\x02ab', 'N)e.')],
  [
    'protocol 2',
    pickle(
      dict({
        list: list(int(1), int(70_000), unicode('x')),
        tuple: bytesOf(int(1), int(2), 0x86),
        none: bytesOf('N'),
        yes: bytesOf(0x88),
        long: bytesOf(0x8a, 9, little(2n ** 63n - 1n, 8), 0),
      }),
    ),
  ],
  [
    'protocol 4',
    pickle(
      bytesOf(
        [0x95],
        little(16, 8),
        '}',
        [0x94],
        '(',
        short('model_args'),
        [0x94],
        '}',
        [0x94],
        short('n_layer'),
        [0x94],
        int(12),
        'su',
      ),
      4,
    ),
  ],
  ['state dict', pickle(stateDict())],
  [
    'module',
    pickle(
      dict({
        model: stateDict(),
        model_args: dict({ n_layer: int(2), bias: bytesOf(0x89), dropout: bytesOf('G', new Uint8Array(8)) }),
        best_val_loss: reduce(
          global('torch._utils', '_rebuild_parameter'),
          tensorCode({ storage: 'FloatStorage', key: '0', count: 12, shape: [1], offset: 3 }),
          bytesOf(0x89),
          orderedDict,
        ),
      }),
      2,
    ),
  ],
  [
    'shared',
    pickle(bytesOf(']q\x00(', unicode('a'), 'q\x01h\x01h\x01h\x01}q\x02', unicode('k'), unicode('v'), 'sh\x02e')),
  ],
  ['stack global', pickle(bytesOf(stackGlobal('collections', 'OrderedDict'), ')R'), 4)],
];

export function pickleSample(name: string, bytes: Uint8Array, from = 0, count = 1): Sample {
  const cuts: number[] = [];
  const fields: Sample['fields'][number][] = [];
  for (let at = from; count > 0 && at < bytes.length; count--) {
    const part = splitPickle(bytes, at);
    cuts.push(...part.cuts);
    fields.push(...part.fields);
    at = part.end;
  }
  return { name, bytes: own(bytes), cuts: [...cuts, bytes.length], fields };
}

export function torchZipSample({ name, bytes }: { name: string; bytes: Uint8Array }): Sample {
  const zip = splitZip(bytes);
  const at = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).indexOf('data.pkl');
  const code =
    at >= 0 && bytes[at + 8] !== undefined
      ? splitPickle(bytes, zip.cuts.find((cut) => cut >= at + 8 && bytes[cut] === 0x80) ?? bytes.length)
      : { cuts: [], fields: [] };
  // Only some of a pickle's many integers, so that those of the archive are not lost among them.
  return {
    name,
    bytes,
    cuts: [...zip.cuts, ...code.cuts].sort((a, b) => a - b),
    fields: [...zip.fields, ...code.fields.filter((_, i) => i % 3 === 0)],
  };
}

export const PICKLE_TOKENS = [
  ...objects.map(([, bytes]) => bytes.slice(0, 40)),
  ...texts(
    '(',
    ')',
    ']',
    '}',
    't',
    'R',
    'b',
    'u',
    's',
    'e',
    'a',
    '0',
    '1',
    '2',
    'Q',
    'P0\n',
    'N',
    'd',
    'l',
    'o',
    'cos\nsystem\n',
    'c__builtin__\neval\n',
    "(S'x'\nios\nsystem\n",
    'I99999999999999999999\n',
    'Fnan\n',
    "S'\\xff'\n",
    'V\\ud800\n',
    'h\x00',
    'q\x00',
    'g0\n',
    'p-1\n',
  ),
  ...[
    [0x81],
    [0x85],
    [0x86],
    [0x87],
    [0x88],
    [0x8f],
    [0x90],
    [0x91],
    [0x92],
    [0x93],
    [0x94],
    [0x97],
    [0x98],
    [0x82, 1],
    [0x8b, 0xff, 0xff, 0xff, 0x7f],
    [0x95, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0],
    [0x8d, 0, 0, 0, 0, 0, 0, 0, 0x40],
    [0x80, 5],
    [0x80, 9],
  ].map((code) => Uint8Array.from(code)),
  global('torch._utils', '_rebuild_tensor_v2'),
  global('torch', 'FloatStorage'),
  orderedDict,
  tuple(int(1), int(2)),
  unicode('__proto__'),
  short('constructor'),
];

// prettier-ignore

export const code = (name: string) => objects.find(([other]) => other === name)![1];

export const torchFixtures = (kind: 'zip' | 'legacy') =>
  fixtures('torch', /\.(pt|pth|bin|ckpt)$/, 60_000).filter(
    ({ bytes }) => (bytes[0] === 0x50 && bytes[1] === 0x4b) === (kind === 'zip'),
  );

// Safetensors.
// JSON files: the parts are between all punctuation.
// NumPy.
// Zip archives.
// PyTorch: pickles, zip files, the format before zip.
