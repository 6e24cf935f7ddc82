// Archives and PyTorch files that lie are refused by name, within bounds of time and memory.
// Needs: no device.

import { suite } from 'uvu';
import { expectAll, outcomes } from './expect_refused.ts';
import * as assert from 'uvu/assert';
import { torchZip } from './corpus.ts';
import { Fuzzer } from './fuzzer.ts';
import { bytesOf, little, ordered, pickle, tensorCode } from './pickle_code.ts';
import { zipOf } from './zip_code.ts';
import { zeros, type File, REFUSED } from './attack_files.ts';
import { stateDict } from './corpus_torch.ts';

const test = suite('archive_attacks');

const fuzzer = new Fuzzer();

test.after(() => fuzzer.close());

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
  [
    'a directory behind the file',
    bytesOf('PK\x05\x06', little(0, 4), little(1, 2), little(1, 2), little(46, 4), little(2 ** 31, 4), little(0, 2)),
    REFUSED,
  ],
  [
    '65,535 members in no bytes',
    bytesOf('PK\x05\x06', little(0, 4), little(65_535, 2), little(65_535, 2), little(0, 4), little(0, 4), little(0, 2)),
    REFUSED,
  ],
  [
    'a ZIP64 directory of 2^62 members',
    bytesOf(
      zeros(60),
      'PK\x06\x06',
      little(44, 8),
      little(45, 2),
      little(45, 2),
      little(0, 8),
      little(2n ** 62n, 8),
      little(2n ** 62n, 8),
      little(2n ** 62n, 8),
      little(0, 8),
      'PK\x06\x07',
      little(0, 4),
      little(60, 8),
      little(1, 4),
      'PK\x05\x06',
      little(0, 4),
      little(65_535, 2),
      little(65_535, 2),
      little(2 ** 32 - 1, 4),
      little(2 ** 32 - 1, 4),
      little(0, 2),
    ),
    REFUSED,
  ],
  ['only the end', bytesOf('PK\x05\x06'), REFUSED],
];

// prettier-ignore

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
];

// prettier-ignore

test('archives that lie are refused', async () => {
  await expectAll(fuzzer, 'zip', archives);
  await expectAll(fuzzer, 'npz', archives);
});

test('PyTorch files that lie are refused', () => expectAll(fuzzer, 'torch', torchArchives));

test('members named to leave the folder write nothing', async () => {
  const names = ['../../x.npy', '/etc/x.npy', 'C:\\x.npy', '..\\x.npy', 'a/../../x.npy', '\u0000.npy', '__proto__.npy'];
  const results = await outcomes(
    fuzzer,
    'npz',
    names.map((name) => [name, zipOf([member(name, zeros(0))])] as const),
  );
  for (const [i, result] of results.entries())
    assert.match(result, /^(WeightsError|loaded)/, `${JSON.stringify(names[i])}: ${result}`);
  await outcomes(
    fuzzer,
    'zip',
    names.map((name) => [name, zipOf([member(name)])] as const),
  ).then((all) => all.forEach((result) => assert.match(result, /^(WeightsError|loaded)/)));
});

test.run();
