// The restricted unpickler: what Python's own pickles hold, and that nothing in a pickle is called,
// believed or let grow. test/fixtures/torch/make_attacks.py made the attacks.
// Needs: no device.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { inflateSync } from 'node:zlib';
import { WeightsError } from '../../../../runtime/base/errors.ts';
import { PickleCutError, unpickle } from '../../../../runtime/formats/pickle/pickle.ts';
import { plainGlobals } from '../../../../runtime/formats/pickle/globals.ts';
import { refusedTorchName, storageOf, torchGlobals } from '../../../../runtime/formats/torch/globals.ts';

const test = suite('pickle');
const fixtures = join(dirname(fileURLToPath(import.meta.url)), '../../../fixtures/torch');
const attacks = JSON.parse(await readFile(join(fixtures, 'attacks.json'), 'utf8')) as {
  good: Record<string, string>;
  pickles: Record<string, string>;
  repeated: Record<string, [string, number][]>;
};
const decoded = (text: string) => new Uint8Array(inflateSync(Buffer.from(text, 'base64')));
const asTorch = (bytes: Uint8Array) =>
  unpickle(bytes, { label: 'text.pt', globals: torchGlobals, refused: refusedTorchName, persistent: storageOf });

test('every protocol, as Python writes it', () => {
  const deep = [[[[[[[]]]]]]];
  const list: unknown[] = [1, 2];
  const values = new Map<unknown, unknown>([
    ['none', null], ['true', true], ['false', false], ['ints', [0, 1, -1, 255, 256, 65535, 65536, -2147483648, 2147483648, 9007199254740991, -9007199254740991]],
    ['large ints', [9007199254740992n, -9007199254740992n, 2n ** 100n, -(2n ** 100n), 2n ** 2050n]],
    ['floats', [0.1, -1.5e300, Infinity, -Infinity, 5e-324]], ['text', ['', 'a', 'ü', '語', '😀', 'back\\slash', 'new\nline', '\\u0041', '\ufeffx', 'x'.repeat(300)]],
    ['bytes', [new Uint8Array(0), Uint8Array.of(0, 127, 128, 255), new Uint8Array(300).fill(97)]],
    ['tuples', [[], [1], [1, 2], [1, 2, 3], [1, 2, 3, 4]]], ['deep', deep], ['shared', [list, list]],
    ['dict', new Map<unknown, unknown>([[1, 'one'], ['two', 2], [null, null]])], ['empty', new Map()],
    ['ordered', new Map([['z', 1], ['a', 2]])], ['set', new Set([1, 2, 3])], ['frozenset', new Set(['x'])], ['long list', Array.from({ length: 1100 }, (_, i) => i)],
    ['float64', -0.125], ['float32', 0.5], ['int64', -7], ['bool', true], ['uint64', 2n ** 64n - 1n],
  ]); // prettier-ignore
  for (const protocol of [0, 1, 2, 3, 4, 5]) {
    const { value } = unpickle(decoded(attacks.good[`protocol ${protocol}`]!), { label: 'p', globals: plainGlobals });
    const found = value as Map<unknown, unknown>;
    assert.equal([...found.keys()], [...values.keys()]);
    for (const [name, expected] of values) assert.equal(found.get(name), expected, `${name} of protocol ${protocol}`);
    const shared = found.get('shared') as unknown[];
    assert.is(shared[0], shared[1]);
  }
  const { value } = unpickle(decoded(attacks.good['Python 2']!), { label: 'p', globals: plainGlobals });
  assert.equal(
    value,
    new Map<unknown, unknown>([
      ['a', [1, 2n ** 70n, "it's", 'tab\t\xff']],
      ['f', 0.5],
      ['loss', 1.5],
    ]),
  );
});

test('one pickle after another, and what is cut', () => {
  const bytes = Uint8Array.from(Buffer.from('80024b012e80024b022e', 'hex'));
  const first = unpickle(bytes, { label: 'p', globals: new Map() });
  assert.equal(first, { value: 1, end: 5 });
  assert.equal(unpickle(bytes, { label: 'p', globals: new Map(), start: first.end }), { value: 2, end: 10 });
  const whole = decoded(attacks.good['protocol 4']!);
  for (let length = 0; length < whole.length; length += 7)
    assert.throws(
      () => unpickle(whole.subarray(0, length), { label: 'p', globals: plainGlobals }),
      (error: Error) => error instanceof PickleCutError,
    );
});

const reasons: Record<string, RegExp> = {
  'os.system':
    /got the global "(posix|nt)\.system", which could run code, expected only tensors, numbers, text, lists and dicts\. Do not use this file/,
  eval: /got the global "__builtin__\.eval"/,
  "exec inside a tensor's arguments": /"__builtin__\.exec"/,
  getattr: /"__builtin__\.getattr"/,
  'a dotted name': /"collections\.OrderedDict\.__init__\.__globals__"/,
  "a call of a storage's type": /a call of torch\.FloatStorage/,
  INST: /"os\.system"/,
  'a NumPy array': /"numpy\._?core\.multiarray\._reconstruct"/,
  'a NumPy scalar of an object': /NumPy dtype "O8"/,
  'a list in itself': /a value that holds itself/,
  'laughs of lists': /values that repeat into more than/,
  'laughs of dicts': /values that repeat into more than/,
  'LONG4 of 2 GiB': /an int of 2147483647 bytes/,
  'protocol 99': /pickle protocol 99/,
  'a storage with a huge size': /a storage without its key and size/,
  'lists nested 100,000 deep': /nested more than 100 deep/,
  'a million marks': /nested more than 1000 deep/,
  'ten million nothings': /more than 2000000 operations/,
  'ten million values': /more than \d+ (values|operations)/,
  'five million dicts': /more than \d+ objects/,
  'a million memos': /a memo of more than/,
};

for (const [name, coded] of Object.entries(attacks.pickles)) {
  test(`refused: ${name}`, () => refused(name, decoded(coded)));
}
for (const [name, parts] of Object.entries(attacks.repeated)) {
  test(`refused: ${name}`, () =>
    refused(name, new Uint8Array(Buffer.concat(parts.map(([hex, times]) => Buffer.from(hex.repeat(times), 'hex'))))));
}

/** The slowest takes 0.15 s and 25 MiB; the bounds leave room for a busy machine. */
function refused(name: string, bytes: Uint8Array): void {
  const before = process.memoryUsage().rss;
  const start = performance.now();
  let error: unknown;
  try {
    asTorch(bytes);
  } catch (thrown) {
    error = thrown;
  }
  const seconds = (performance.now() - start) / 1000;
  assert.instance(error, WeightsError);
  assert.ok((error as Error).message.startsWith('text.pt: got '), (error as Error).message);
  assert.match((error as Error).message, reasons[name] ?? /expected/);
  assert.ok(seconds < 5, `${seconds} s`);
  const grown = (process.memoryUsage().rss - before) / 2 ** 20;
  assert.ok(grown < 200, `${grown} MiB`);
}

test('nothing was run', async () => {
  for (const place of ['.', fixtures])
    assert.is(
      await readFile(join(place, 'owned')).then(
        () => true,
        () => false,
      ),
      false,
    );
});

test.run();
