// Cases of `sample` and `sample_codes`: the host repeats the draw with the same random numbers, and
// the token must be the same.

import { gumbel, threefry2x32 } from '../../kernels/sample/random.ts';
import { sample, samplingParams, SAMPLING_WORDS } from '../../kernels/sample/sample.ts';
import { sampleCodes, samplingCodesParams, SAMPLING_CODES_WORDS } from '../../kernels/sample/sample_codes.ts';
import { createUniform } from '../../kernels/state.ts';
import type { Series } from '../model/values.ts';
import { places, type MakeCase } from './case.ts';
import { bytesOf, CAPACITY, X, type GptInputs } from './inputs.ts';

/**
 * The expected draw from logits [from, from + count): among those that top-k keeps (0: all), the
 * one with the largest logit / temperature + Gumbel noise.
 */
const drawn = (
  logits: Series,
  from: number,
  count: number,
  temperature: number,
  topK: number,
  words: (i: number) => number,
): number => {
  const values = Array.from({ length: count }, (_, i) => logits.at(from + i));
  const cut = topK > 0 ? values.toSorted((a, b) => b - a)[topK - 1]! : -Infinity;
  let best = -1;
  let most = -Infinity;
  values.forEach((v, i) => {
    const score = v >= cut ? v / temperature + gumbel(words(i)) : -Infinity;
    if (score > most) [best, most] = [i, score];
  });
  return best;
};

export const draw =
  (inputs: GptInputs): MakeCase =>
  async (owner) => {
    const {
      device,
      shape: { semanticHead },
    } = inputs;
    const logits = inputs.floats(X, [1, semanticHead], owner, 'logits');
    const tokens = device.createTensor([1, 8], 'u32', owner, 'tokens');
    const state = inputs.state(owner, 0);
    const every = { first: 0, count: semanticHead };
    const settings = createUniform(device, SAMPLING_WORDS, owner, 'sampling');
    device.write(
      settings,
      samplingParams({ temperature: 0.7, topK: 50, topP: null, minEosP: null, eos: null, even: every, odd: every }),
    );
    return {
      op: 'sample',
      shape: `1 of ${semanticHead}, top-k 50`,
      dtype: 'float32',
      bytes: bytesOf(logits),
      flops: 0,
      output: tokens,
      exact: true,
      record: (r) => sample(r, tokens, logits, state, settings),
      expected: () => [
        { at: 0, value: drawn(X, 0, semanticHead, 0.7, 50, (i) => threefry2x32([3, 5], [0, i])[0]), size: 0 },
      ],
    };
  };

export const drawCodes =
  (inputs: GptInputs): MakeCase =>
  async (owner) => {
    const {
      device,
      shape: { codebook },
    } = inputs;
    const M = CAPACITY;
    const logits = inputs.floats(X, [M, codebook], owner, 'logits');
    const codes = device.createTensor([M, 8], 'u32', owner, 'codes');
    const settings = createUniform(device, SAMPLING_CODES_WORDS, owner, 'sampling');
    device.write(
      settings,
      samplingCodesParams({ temperature: 0.5, start: 0, column: 3, count: codebook, seed: [3, 5], window: 0 }),
    );
    const key = threefry2x32([3, 5], [0, 3]);
    return {
      op: 'sample_codes',
      shape: `${M} of ${codebook}`,
      dtype: 'float32',
      bytes: bytesOf(logits) + 4 * M,
      flops: 0,
      output: codes,
      exact: true,
      record: (r) => sampleCodes(r, codes, logits, settings),
      expected: () =>
        places(M).map((m) => ({
          at: 8 * m + 3,
          value: drawn(X, m * codebook, codebook, 0.5, 0, (i) => threefry2x32(key, [m, i])[0]),
          size: 0,
        })),
    };
  };
