// Good .npy, .npz and zip files that the fuzzer starts from.

import { writeNpy, writeNpz } from '../../runtime/formats/npy.ts';
import type { Sample } from './mutate.ts';
import { bytesOf, little } from './pickle_code.ts';
import { splitZip, zipOf } from './zip_code.ts';
import { own, noise, fixtures, texts } from './corpus_parts.ts';

// JSON files: the parts are between all punctuation.
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

export function npySample({ name, bytes }: { name: string; bytes: Uint8Array }): Sample {
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

export const counted = (n: number, size: number, big = false) =>
  bytesOf(...Array.from({ length: n }, (_, i) => (big ? little(i % 120, size).reverse() : little(i % 120, size))));

export const floats = (n: number) => new Uint8Array(Float32Array.from({ length: n }, (_, i) => i - 3).buffer);

export function npyFiles(): { name: string; bytes: Uint8Array }[] {
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

export const NPY_TOKENS = texts(
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

export function zipSample({ name, bytes }: { name: string; bytes: Uint8Array }): Sample {
  return { name, bytes, ...splitZip(bytes) };
}

export const ZIP_TOKENS = [
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

export async function npzFiles(): Promise<{ name: string; bytes: Uint8Array }[]> {
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
