// The good files that mutants are made of, by format: committed fixtures (which Python wrote) and
// files built here by hand, each with the places where its parts begin. None comes from the
// library's own writers but `written`, which is there to be read back.

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { writeNpy, writeNpz } from '../../runtime/formats/npy.ts';
import { uniform } from '../random.ts';
import type { Sample } from './mutate.ts';
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
  splitPickle,
  stackGlobal,
  tensorCode,
  tuple,
  unicode,
} from './pickle_code.ts';
import { splitZip, zipOf } from './zip_code.ts';

export interface Corpus {
  readonly samples: readonly Sample[];
  readonly tokens: readonly Uint8Array[];
}

const fixture = (path: string) => fileURLToPath(new URL(`../fixtures/${path}`, import.meta.url));
const demo = (file: string) => readFileSync(fileURLToPath(new URL(`../../bark/demo_voice/${file}`, import.meta.url)));
const own = (bytes: Uint8Array) => new Uint8Array(bytes);
const noise = (n: number, seed: number) => {
  const next = uniform(seed);
  return Uint8Array.from({ length: n }, () => next() * 256);
};

/** Small committed fixtures of a folder, by their ending. */
function fixtures(folder: string, ending: RegExp, limit = 300_000): { name: string; bytes: Uint8Array }[] {
  if (!existsSync(fixture(folder))) return [];
  return readdirSync(fixture(folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && ending.test(entry.name))
    .map((entry) => ({ name: entry.name, bytes: own(readFileSync(`${entry.parentPath ?? entry.path}/${entry.name}`)) }))
    .filter(({ bytes }) => bytes.length <= limit)
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

const texts = (...list: string[]) => list.map((text) => bytesOf(text));
const JSON_TOKENS = texts(
  '{',
  '}',
  '[',
  ']',
  ',',
  ':',
  '""',
  'null',
  'true',
  '-1',
  '1e999',
  '1.5',
  '9007199254740993',
  '"__proto__":',
  '"constructor"',
  '"\\u0000"',
  '\\ud800',
  '{"a":{"a":{"a":{}}}}',
  '[[[[[[[[[',
  '\ufeff',
  '"\u009b31m"',
);

// Safetensors.

function safetensors(
  tensors: Readonly<Record<string, { dtype: string; shape: number[]; bytes: number }>>,
  { metadata, pad = 0 }: { metadata?: Record<string, string>; pad?: number } = {},
): Uint8Array {
  let at = 0;
  const header: Record<string, unknown> = metadata ? { __metadata__: metadata } : {};
  for (const [name, { dtype, shape, bytes }] of Object.entries(tensors))
    header[name] = { dtype, shape, data_offsets: [at, (at += bytes)] };
  const text = JSON.stringify(header) + ' '.repeat(pad);
  return bytesOf(little(new TextEncoder().encode(text).length, 8), text, noise(at, 11));
}

export function safetensorsSample({ name, bytes }: { name: string; bytes: Uint8Array }): Sample {
  const dataStart = 8 + Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
  const cuts = [0, 1, 7, 8];
  for (let at = 8; at < dataStart; at++) if ('{}[]:,"'.includes(String.fromCharCode(bytes[at]!))) cuts.push(at);
  cuts.push(dataStart);
  for (const value of Object.values(
    JSON.parse(new TextDecoder().decode(bytes.subarray(8, dataStart))) as Record<string, { data_offsets?: number[] }>,
  )) {
    for (const offset of value.data_offsets ?? [])
      if (!cuts.includes(dataStart + offset)) cuts.push(dataStart + offset);
  }
  const inner = {
    sample: jsonSample('header', bytes.subarray(8, dataStart)),
    pack: (header: Uint8Array) => bytesOf(little(header.length, 8), header, bytes.subarray(dataStart)),
  };
  return { name, bytes, cuts: cuts.sort((a, b) => a - b), fields: [{ at: 0, size: 8 }], dataStart, inner };
}

function safetensorsCorpus(): Corpus {
  const made = [
    { name: 'empty', bytes: safetensors({}) },
    {
      name: 'padded',
      bytes: safetensors(
        { a: { dtype: 'F32', shape: [3, 2], bytes: 24 }, 'b.c': { dtype: 'F16', shape: [], bytes: 2 } },
        { metadata: { format: 'pt', note: '\u00e9' }, pad: 30 },
      ),
    },
    {
      name: 'zero sizes',
      bytes: safetensors({
        a: { dtype: 'I64', shape: [0, 7], bytes: 0 },
        b: { dtype: 'U8', shape: [5], bytes: 5 },
        c: { dtype: 'BOOL', shape: [0], bytes: 0 },
      }),
    },
    {
      name: 'many',
      bytes: safetensors(
        Object.fromEntries(
          Array.from({ length: 150 }, (_, i) => [
            `layers.${i}.weight`,
            { dtype: 'BF16', shape: [1, i % 4], bytes: 2 * (i % 4) },
          ]),
        ),
      ),
    },
  ];
  const samples = [...fixtures('safetensors', /\.safetensors$/), ...made].map(safetensorsSample);
  return {
    samples,
    tokens: [
      ...JSON_TOKENS,
      ...texts(
        '"F32"',
        '"F64"',
        '"I4"',
        '"dtype"',
        '"shape":[4294967296,4294967296]',
        '"data_offsets":[0,0]',
        '__metadata__',
      ),
    ],
  };
}

// JSON files: the parts are between all punctuation.

function jsonSample(name: string, bytes: Uint8Array): Sample {
  const cuts = [0];
  bytes.forEach((byte, at) => '{}[]:,"'.includes(String.fromCharCode(byte)) && cuts.push(at));
  return { name, bytes: own(bytes), cuts: [...cuts, bytes.length], fields: [], json: true };
}

const jsonCorpus = (...files: [string, Uint8Array][]): Corpus => ({
  samples: files.map(([name, bytes]) => jsonSample(name, bytes)),
  tokens: JSON_TOKENS,
});

// NumPy.

function npy(
  descr: string,
  shape: readonly number[],
  data: Uint8Array,
  { fortran = false, version = 1 } = {},
): Uint8Array {
  const tuple = shape.length === 1 ? `${shape[0]},` : shape.join(', ');
  const dict = `{'descr': '${descr}', 'fortran_order': ${fortran ? 'True' : 'False'}, 'shape': (${tuple}), }`;
  const prefix = version === 1 ? 10 : 12;
  const text = `${dict.padEnd(Math.ceil((prefix + dict.length + 1) / 64) * 64 - prefix - 1)}\n`;
  return bytesOf([0x93], 'NUMPY', version, 0, little(text.length, prefix - 8), text, data);
}

function npySample({ name, bytes }: { name: string; bytes: Uint8Array }): Sample {
  const wide = bytes[6]! > 1;
  const dataStart = wide
    ? 12 + new DataView(bytes.buffer, bytes.byteOffset).getUint32(8, true)
    : 10 + bytes[8]! + 256 * bytes[9]!;
  const cuts = [0, 5, 6, 7, 8, 9, 10, 12];
  for (let at = 12; at < dataStart; at++) if ("{}():,'".includes(String.fromCharCode(bytes[at]!))) cuts.push(at);
  return {
    name,
    bytes,
    cuts: [...cuts, dataStart - 1, dataStart, bytes.length - 1, bytes.length],
    fields: [
      { at: 6, size: 1 },
      { at: 8, size: wide ? 4 : 2 },
    ],
    dataStart,
  };
}

const counted = (n: number, size: number, big = false) =>
  bytesOf(...Array.from({ length: n }, (_, i) => (big ? little(i % 120, size).reverse() : little(i % 120, size))));
const floats = (n: number) => new Uint8Array(Float32Array.from({ length: n }, (_, i) => i - 3).buffer);

function npyFiles(): { name: string; bytes: Uint8Array }[] {
  const made: [string, Uint8Array][] = [
    ['i8', npy('<i8', [7], counted(7, 8))],
    ['i4 fortran', npy('<i4', [2, 5], counted(10, 4), { fortran: true })],
    ['big u2', npy('>u2', [3, 2], counted(6, 2, true))],
    ['u1 version 2', npy('|u1', [2, 2, 3], counted(12, 1), { version: 2 })],
    ['bool version 3', npy('|b1', [9], counted(9, 1), { version: 3 })],
    ['f4', npy('<f4', [4, 3], floats(12), { fortran: true })],
    ['scalar', npy('<i8', [], counted(1, 8))],
    ['empty', npy('<i2', [0, 4], new Uint8Array())],
    ['written', writeNpy({ data: Int32Array.from({ length: 40 }, (_, i) => i * i), shape: [8, 5] })],
  ];
  return [...fixtures('', /\.npy$/, 20_000), ...made.map(([name, bytes]) => ({ name, bytes: own(bytes) }))];
}

const NPY_TOKENS = texts(
  "'descr': '<i8'",
  "'<u8'",
  "'>f8'",
  "'<f2'",
  "'|O'",
  "'<U9'",
  "'|V0'",
  "'descr': [('a', '<i4')]",
  "'fortran_order': True",
  "'shape': (4294967296, 4294967296)",
  "'shape': (0, 9007199254740991)",
  // prettier-ignore
  '(1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,)',
  '(-1,)',
  '(1e9,)',
  '9007199254740993',
  'L',
  '\x93NUMPY',
);

// Zip archives.

function zipSample({ name, bytes }: { name: string; bytes: Uint8Array }): Sample {
  return { name, bytes, ...splitZip(bytes) };
}

const ZIP_TOKENS = [
  ...texts(
    'PK\x03\x04',
    'PK\x01\x02',
    'PK\x05\x06',
    'PK\x06\x06',
    'PK\x06\x07',
    'PK\x07\x08',
    '../../',
    '/etc/passwd',
    'C:\\x',
  ),
  little(0xffffffff, 4),
  little(0xffff, 2),
  bytesOf(little(1, 2), little(24, 2)),
  new Uint8Array(22),
  noise(40, 5),
];

function npzMembers(): { name: string; data: Uint8Array }[] {
  return [
    { name: 'semantic_prompt.npy', data: npy('<i8', [6], counted(6, 8)) },
    { name: 'coarse_prompt.npy', data: npy('<i8', [2, 9], counted(18, 8), { fortran: true }) },
    { name: 'fine_prompt.npy', data: npy('<i4', [8, 9], counted(72, 4)) },
  ];
}

async function npzFiles(): Promise<{ name: string; bytes: Uint8Array }[]> {
  const members = npzMembers();
  const made: [string, Uint8Array][] = [
    ['stored', zipOf(members)],
    ['deflated', zipOf(members.map((member) => ({ ...member, deflate: true })))],
    [
      'zip64',
      zipOf(
        members.map((member) => ({ ...member, zip64: true, deflate: member.name.startsWith('f') })),
        { zip64End: true },
      ),
    ],
    [
      'descriptors',
      zipOf(
        members.map((member) => ({ ...member, deflate: true, descriptor: true })),
        { comment: 'a comment' },
      ),
    ],
    [
      'others',
      zipOf([
        ...npyFiles()
          .slice(-5)
          .map(({ name, bytes }) => ({ name: `${name}.npy`, data: bytes })),
        { name: 'notes.txt', data: bytesOf('PK\x05\x06 is not here') },
        ...members,
      ]),
    ],
    [
      'written',
      await writeNpz({
        semantic_prompt: { data: [1, 2, 3], shape: [3] },
        coarse_prompt: { data: [0, 1, 2, 3, 4, 5, 6, 7], shape: [2, 4] },
        fine_prompt: { data: Array.from({ length: 32 }, (_, i) => i), shape: [8, 4] },
      }),
    ],
  ];
  return [...fixtures('', /\.npz$/, 60_000), ...made.map(([name, bytes]) => ({ name, bytes: own(bytes) }))];
}

// PyTorch: pickles, zip files, the format before zip.

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

const STORAGES: [key: string, bytes: Uint8Array, each: number][] = [
  ['0', floats(12), 4],
  ['1', noise(12, 3), 2],
  ['2', little(77, 8), 8],
  ['3', counted(5, 1), 1],
];

const objects: readonly [string, Uint8Array][] = [
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

/** As torch.save writes it: one folder, storages aligned by padding. */
export function torchZip(
  data: Uint8Array,
  { deflate = false, zip64 = false, root = 'archive' } = {},
): Uint8Array<ArrayBuffer> {
  const storages = STORAGES.map(([key, bytes]) => ({
    name: `${root}/data/${key}`,
    data: bytes,
    pad: 13,
    zip64,
    deflate,
  }));
  return zipOf(
    [
      { name: `${root}/data.pkl`, data, deflate, zip64 },
      { name: `${root}/byteorder`, data: bytesOf('little') },
      ...storages,
      { name: `${root}/version`, data: bytesOf('3\n') },
    ],
    { zip64End: zip64 },
  );
}

/** The format before PyTorch 1.6: five pickles, then the storages, each behind its count. */
export function torchLegacy(data: Uint8Array): Uint8Array<ArrayBuffer> {
  const magic = pickle(bytesOf(0x8a, 10, [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19]));
  const system = pickle(
    dict({
      protocol_version: int(1001),
      little_endian: bytesOf(0x88),
      type_sizes: dict({ short: int(2), int: int(4), long: int(4) }),
    }),
  );
  const keys = pickle(list(...STORAGES.map(([key]) => unicode(key))));
  return bytesOf(
    magic,
    pickle(bytesOf('M', little(1001, 2))),
    system,
    data,
    keys,
    ...STORAGES.map(([, bytes, each]) => bytesOf(little(bytes.length / each, 8), bytes)),
  );
}

function pickleSample(name: string, bytes: Uint8Array, from = 0, count = 1): Sample {
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

function torchZipSample({ name, bytes }: { name: string; bytes: Uint8Array }): Sample {
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

const PICKLE_TOKENS = [
  ...objects.map(([, bytes]) => bytes.slice(0, 40)),
  ...texts('(', ')', ']', '}', 't', 'R', 'b', 'u', 's', 'e', 'a', '0', '1', '2', 'Q', 'P0\n', 'N', 'd', 'l', 'o', 'cos\nsystem\n', 'c__builtin__\neval\n', '(S\'x\'\nios\nsystem\n', 'I99999999999999999999\n', 'Fnan\n', "S'\\xff'\n", 'V\\ud800\n', 'h\x00', 'q\x00', 'g0\n', 'p-1\n'),
  ...[[0x81], [0x85], [0x86], [0x87], [0x88], [0x8f], [0x90], [0x91], [0x92], [0x93], [0x94], [0x97], [0x98], [0x82, 1], [0x8b, 0xff, 0xff, 0xff, 0x7f], [0x95, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0], [0x8d, 0, 0, 0, 0, 0, 0, 0, 0x40], [0x80, 5], [0x80, 9]].map((code) => Uint8Array.from(code)),
  global('torch._utils', '_rebuild_tensor_v2'), global('torch', 'FloatStorage'), orderedDict, tuple(int(1), int(2)), unicode('__proto__'), short('constructor'),
]; // prettier-ignore

const code = (name: string) => objects.find(([other]) => other === name)![1];
const torchFixtures = (kind: 'zip' | 'legacy') =>
  fixtures('torch', /\.(pt|pth|bin|ckpt)$/, 60_000).filter(
    ({ bytes }) => (bytes[0] === 0x50 && bytes[1] === 0x4b) === (kind === 'zip'),
  );

const build: Readonly<Record<string, () => Corpus | Promise<Corpus>>> = {
  safetensors: safetensorsCorpus,
  index: () => ({ ...jsonCorpus(['index', readFileSync(fixture('safetensors/sharded/model.safetensors.index.json'))]), tokens: [...JSON_TOKENS, ...texts('"model-00001-of-00003.safetensors"', '"../x"', '"/etc/passwd"', '"weight_map"')] }),
  npy: () => ({ samples: npyFiles().map(npySample), tokens: NPY_TOKENS }),
  npz: async () => ({ samples: (await npzFiles()).map(zipSample), tokens: [...ZIP_TOKENS, ...NPY_TOKENS] }),
  voice: async () => ({ samples: (await npzFiles()).map(zipSample), tokens: ZIP_TOKENS }),
  checkpoint: () => ({ samples: [...safetensorsCorpus().samples, torchZipSample({ name: 'torch', bytes: torchZip(code('state dict')) })], tokens: JSON_TOKENS }),
  zip: async () => ({ samples: [...(await npzFiles()), { name: 'torch', bytes: torchZip(code('state dict')) }, { name: 'torch deflated', bytes: torchZip(code('state dict'), { deflate: true }) }].map(zipSample), tokens: ZIP_TOKENS }),
  pickle: () => ({ samples: objects.map(([name, bytes]) => pickleSample(name, bytes)), tokens: PICKLE_TOKENS }),
  torch: () => ({
    samples: [
      ...torchFixtures('zip'),       { name: 'deflated', bytes: torchZip(code('state dict'), { deflate: true }) }, { name: 'zip64', bytes: torchZip(code('state dict'), { zip64: true, root: 'a b' }) },
    ].map(torchZipSample).concat(['state dict', 'module', 'protocol 4'].map((name) => ({
      ...torchZipSample({ name, bytes: torchZip(code(name)) }),
      inner: { sample: pickleSample(name, code(name)), pack: (bytes: Uint8Array) => torchZip(bytes) },
    }))),
    tokens: [...PICKLE_TOKENS, ...ZIP_TOKENS],
  }),
  legacy: () => ({
    samples: [...torchFixtures('legacy'), { name: 'legacy', bytes: torchLegacy(pickle(stateDict(true))) }].map(({ name, bytes }) => pickleSample(name, bytes, 0, 5)),
    tokens: PICKLE_TOKENS,
  }),
  config: () => jsonCorpus(['config.json', demo('config.json')]),
  generation: () => jsonCorpus(['generation_config.json', demo('generation_config.json')]),
  voices: () => jsonCorpus(['speaker_embeddings_path.json', demo('speaker_embeddings_path.json')]),
  tokenizer: () => jsonCorpus(['tokenizer.json', demo('tokenizer.json')]),
}; // prettier-ignore

const built = new Map<string, Corpus>();

/** The corpus of a format, the same at each call. */
export async function corpusOf(format: string): Promise<Corpus> {
  const corpus = built.get(format) ?? (await build[format]!());
  built.set(format, corpus);
  return corpus;
}
