// Attacks made by hand, as bytes: pickles that call, pickles and archives that claim or unfold more
// than they are. Each must be refused with a WeightsError, the calls by the name of what they call,
// all within the same bounds as the fuzzer's cases.
// Needs: no device.

import { suite } from 'uvu';
import { expectAll, outcomes } from './expect_refused.ts';
import * as assert from 'uvu/assert';
import { torchLegacy, torchZip } from './corpus.ts';
import { Fuzzer } from './fuzzer.ts';
import { bytesOf, global, pickle, reduce, unicode } from './pickle_code.ts';
import { type File } from './attack_files.ts';
import { stateDict } from './corpus_torch.ts';
import { pickles, harmless } from './attack_pickles.ts';

const test = suite('attacks');

const fuzzer = new Fuzzer();

test.after(() => fuzzer.close());
// prettier-ignore

test('pickles that attack are refused, calls by name', () => expectAll(fuzzer, 'pickle', pickles));

test('the same as the data.pkl of a PyTorch file, and in the older format', async () => {
  const some = pickles
    .filter(([name], i) => i % 12 < 2 || !/\.\w+, /.test(name))
    .filter(([, bytes]) => bytes.length < 100_000);
  await expectAll(
    fuzzer,
    'torch',
    some.map(([name, bytes, expected]): File => [name, torchZip(bytes), expected]),
  );
  await expectAll(
    fuzzer,
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
  await expectAll(fuzzer, 'legacy', files);
});

test('plain data with odd names is plain data', async () => {
  assert.equal(
    await outcomes(fuzzer, 'pickle', harmless),
    harmless.map(() => 'loaded'),
  );
  assert.is((Object.prototype as { polluted?: unknown }).polluted, undefined);
});

test.run();
