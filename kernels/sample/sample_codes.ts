// The fine model's draw: one codebook for the positions of a window, argmax or softmax(logits /
// temperature). The settings are a small uniform tensor that the host rewrites before each run.

import type { Recorder } from '../../runtime/compute/program.ts';
import { expectDType, expectShape, type Tensor } from '../../runtime/compute/tensor.ts';
import { threefry2x32, type Words } from './random.ts';
import { shader } from '../shaders.ts';

export interface SamplingCodes {
  /** null: argmax. */
  readonly temperature: number | null;
  /** Positions before it keep their codes. */
  readonly start: number;
  /** The codebook that is drawn: a column of codes. */
  readonly column: number;
  /** Logits that can be drawn, from logit 0 on: the size of the codebook. */
  readonly count: number;
  readonly seed: Words;
  /**
   * Which window of the sentence this is: a position that is drawn again in another window gets
   * fresh random numbers.
   */
  readonly window: number;
}

/** 32-bit words of the `sampling` tensor. */
export const SAMPLING_CODES_WORDS = 8;

/**
 * `struct SamplingCodes` of sample_codes.wgsl: key (2 × u32; from seed, window and column),
 * temperature f32, start, column, count; padded.
 */
export function samplingCodesParams({ temperature, start, column, count, seed, window }: SamplingCodes): Uint32Array {
  const words = new Uint32Array(SAMPLING_CODES_WORDS);
  words.set(threefry2x32(seed, [window, column]), 0);
  new Float32Array(words.buffer)[2] = temperature ?? 0;
  words.set([start, column, count], 3);
  return words;
}

/**
 * Writes codes[t, column], t from `start` to T − 1, of codes (T, C) u32 from logits (T, COUNT) f32;
 * `sampling` holds `samplingCodesParams(…)`.
 */
export function sampleCodes(r: Recorder, codes: Tensor, logits: Tensor, sampling: Tensor): void {
  const [positions = 0, count = 0] = logits.shape;
  const codebooks = codes.shape[1] ?? 0;
  expectShape('sampleCodes', 'logits', logits, [null, null]);
  expectShape('sampleCodes', 'codes', codes, [positions, codebooks]);
  expectDType('sampleCodes', 'logits', logits, 'f32');
  expectDType('sampleCodes', 'codes', codes, 'u32');
  r.dispatch(shader('sample_codes'), {
    bind: { params: [count, codebooks], sampling, logits, codes },
    grid: [positions],
  });
}
