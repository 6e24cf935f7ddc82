// Mutated and truncated files of every format that is read: each must end in a typed error or in a
// correct load, within 1 s and 64 MiB beyond the file, without a write, a process or a connection.
// The same cases each time; more with BARK_TEST_FULL=1 or BARK_FUZZ_CASES=<number> (a million takes
// half an hour, more than test/run.ts waits), others with BARK_FUZZ_SEED=<number>; one alone with
// FUZZ_CASE=<format>:<seed>:<number>; FUZZ_VERBOSE=1 counts, FUZZ_VERBOSE=2 lists the kinds of
// refusals.
// Needs: no device.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { described, Fuzzer } from './fuzzer.ts';

const test = suite('fuzz');

/** Shares of the cases, by format. */
const SHARES: Readonly<Record<string, number>> = {
  safetensors: 5, index: 2, npy: 5, npz: 2, voice: 0.4, checkpoint: 1, pickle: 6, zip: 1, torch: 2, legacy: 4, config: 0.7, generation: 0.6, voices: 0.5, tokenizer: 0.5,
}; // prettier-ignore
const SHARE_SUM = Object.values(SHARES).reduce((sum, share) => sum + share, 0);
const CASES = Number(process.env.BARK_FUZZ_CASES) || (process.env.BARK_TEST_FULL ? 100_000 : 22_000);
const SEED = Number(process.env.BARK_FUZZ_SEED ?? 1);

const [onlyFormat, onlySeed, onlyNumber] = (process.env.FUZZ_CASE ?? '').split(/:(?=\d)/);
const fuzzer = new Fuzzer();
test.after(() => fuzzer.close());

let ran = 0;
if (onlyFormat) {
  test(`case ${onlyNumber} of ${onlyFormat}, seed ${onlySeed}`, async () => {
    const n = Number(onlyNumber);
    const { failures, results } = await fuzzer.run({
      format: onlyFormat,
      seed: Number(onlySeed),
      from: n,
      to: n + 1,
      verbose: true,
    });
    console.log(results[n]);
    assert.is(failures.map(described).join('\n'), '');
  });
} else {
  for (const [format, share] of Object.entries(SHARES)) {
    test(format, async () => {
      const to = Math.ceil((CASES * share) / SHARE_SUM);
      const { failures, loads, refusals, cases, seconds } = await fuzzer.run({ format, seed: SEED, from: 0, to });
      ran += cases;
      if (process.env.FUZZ_VERBOSE)
        console.log(
          `${format}: ${cases} cases, ${loads} loads, ${Object.keys(refusals).length} kinds of refusals, ${seconds.toFixed(1)} s`,
          process.env.FUZZ_VERBOSE === '2' ? refusals : '',
        );
      assert.is(failures.slice(0, 10).map(described).join('\n'), '', `${failures.length} failures`);
      // Both ends must come up, or the cases are no test.
      assert.ok(
        loads > cases / 100 && Object.keys(refusals).length >= 5,
        `${loads} loads and ${Object.keys(refusals).length} kinds of refusals in ${cases} cases`,
      );
    });
  }
  test('that was enough', () => assert.ok(ran >= Math.min(CASES, 20_000), `${ran} cases`));
}

test.run();
