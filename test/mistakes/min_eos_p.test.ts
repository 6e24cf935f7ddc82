// Mistakes in the two rules that end the speech early, minEosP and minEosPRaw.
// Needs: no device.

import { suite } from 'uvu';
import { BarkGenerationConfig } from '../../bark/config/generation_config.ts';
import { resolveOptions, type GenerateOptions } from '../../bark/options.ts';
import { leavesNothing } from './calls.ts';
import { testMistakes, type Mistake } from './table.ts';

const test = suite('mistakes: min_eos_p');

const options = (mistake: string, given: unknown, says: RegExp): Mistake => ({
  door: 'generate',
  mistake,
  make: () => resolveOptions(given as GenerateOptions, BarkGenerationConfig.fromJSON({}), 1, 768),
  says,
});
const config = (mistake: string, min_eos_p: unknown, says: RegExp): Mistake => ({
  door: 'generation_config.json',
  mistake,
  make: () => BarkGenerationConfig.fromJSON({ semantic_config: { min_eos_p } }),
  says,
  code: 'ERR_WEIGHTS',
});

const BOTH = /expected one of them: they are two rules for the same end\. Leave one out, or set it to null\.$/;

const ROWS = testMistakes(test, [
  options(
    'both rules',
    { minEosP: 0.2, minEosPRaw: 0.1 },
    new RegExp(`^minEosP: got 0.2 with minEosPRaw 0.1, ${BOTH.source}`),
  ),
  options(
    'both rules, both for the stage',
    { semantic: { minEosP: 0.2, minEosPRaw: 0.1 } },
    new RegExp(`^semantic\\.minEosP: got 0.2 with semantic\\.minEosPRaw 0.1, ${BOTH.source}`),
  ),
  options(
    'both rules, one for the stage',
    { minEosPRaw: 0.1, semantic: { minEosP: 0.2 } },
    new RegExp(`^semantic\\.minEosP: got 0.2 with minEosPRaw 0.1, ${BOTH.source}`),
  ),
  options('minEosPRaw: 0', { minEosPRaw: 0 }, /^minEosPRaw: got 0, expected a probability above 0 up to 1, or null\.$/),
  options('minEosPRaw: 1.5', { minEosPRaw: 1.5 }, /^minEosPRaw: got 1\.5, expected a probability/),
  options('a percentage', { minEosP: 20 }, /^minEosP: got 20, expected a probability above 0 up to 1, or null\.$/),
  options('NaN', { minEosPRaw: NaN }, /^minEosPRaw: got NaN, expected a probability/),
  options('a text', { minEosPRaw: '0.2' }, /^minEosPRaw: got '0\.2', expected a probability/),
  options(
    'false for off',
    { minEosP: false },
    /^minEosP: got false, expected a probability above 0 up to 1, or null\.$/,
  ),
  options('the stage that has no end', { coarse: { minEosPRaw: 0.1 } }, /minEosPRaw/),
  options(
    'a wrong value for the stage',
    { minEosPRaw: 0.2, semantic: { minEosPRaw: -1 } },
    /^semantic\.minEosPRaw: got -1, expected a probability/,
  ),
  config('min_eos_p: -0.1', -0.1, /min_eos_p.*-0\.1/),
  config('min_eos_p: 2', 2, /min_eos_p.*2/),
  config('min_eos_p: "0.2"', '0.2', /min_eos_p.*"?0\.2/),
]);

test('200 refused calls of each kind leave nothing open', () => leavesNothing(ROWS));

test.run();
