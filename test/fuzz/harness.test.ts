// The fuzzer can fail: readers that are bad on purpose, one for each rule, are found out, and a
// good one is not.
// Needs: no device.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Fuzzer } from './fuzzer.ts';
import type { Failure } from './worker.ts';

const test = suite('fuzz harness');
const fuzzer = new Fuzzer({ hangMs: 2500 });
test.after(() => fuzzer.close());

const EXPECTED: readonly [format: string, kind: Failure['kind'], text: RegExp][] = [
  ['bad: untyped', 'untyped error', /RangeError/],
  ['bad: buffer', 'memory', /a buffer of 209715200 bytes/],
  ['bad: chunks', 'memory', /bytes/],
  ['bad: heap', 'memory', /bytes|memory/],
  ['bad: bomb', 'memory', /memory/],
  ['bad: loop', 'hang', /no end/],
  ['bad: never', 'hang', /no end/],
  ['bad: slow', 'slow', /\d+ ms/],
  ['bad: write', 'forbidden', /fs\.writeFile/],
  ['bad: eval', 'forbidden', /Function/],
  ['bad: late', 'untyped error', /later/],
  ['bad: wrong', 'wrong load', /other bytes/],
  ['bad: escapes', 'message', /u001b/],
];

for (const [format, kind, text] of EXPECTED) {
  test(`${format} is found out`, async () => {
    const { failures } = await fuzzer.run({ format, seed: 1, from: 7, to: 8 });
    assert.is(failures.length, 1);
    assert.is(failures[0]!.kind, kind, failures[0]!.text);
    assert.match(failures[0]!.text, text);
    assert.is(failures[0]!.n, 7);
  });
}

test('a good one is not', async () => {
  const { failures, refusals } = await fuzzer.run({ format: 'good: refuses', seed: 1, from: 0, to: 20 });
  assert.equal(failures, []);
  assert.equal(refusals, { 'file: got x, expected y.': 20 });
});

test.run();
