// Draws the fine model's codes: one codebook for all positions of a window, by argmax or from
// softmax(logits / temperature). The settings are a small uniform tensor that the host rewrites
// before each run.

import type { Recorder } from '../../runtime/compute/program.ts';
import { expectDType, expectShape, type Tensor } from '../../runtime/compute/tensor.ts';
import { threefry2x32, type Words } from './random.ts';
import { shader } from '../shaders.ts';

export interface SamplingCodes {
  /** null: argmax. */
  readonly temperature: number | null;
  /** First position that is drawn; those before it keep their codes. */
  readonly start: number;
  /** The codebook that is drawn, which is a column of `codes`. */
  readonly column: number;
  /** Size of the codebook: logits 0 … count − 1 can be drawn. */
  readonly count: number;
  readonly seed: Words;
  /**
   * Number of the window within the sentence. A position that is drawn again in another window gets
   * different random numbers.
   */
  readonly window: number;
}

/** Length of the `sampling` tensor in 32-bit words. */
export const SAMPLING_CODES_WORDS = 8;

/**
 * The contents of the `sampling` tensor, `struct SamplingCodes` of sample_codes.wgsl: key (2 × u32,
 * derived from seed, window and column), temperature f32, then u32: start, column, count, padding.
 */
export function samplingCodesParams({ temperature, start, column, count, seed, window }: SamplingCodes): Uint32Array {
  const words = new Uint32Array(SAMPLING_CODES_WORDS);
  words.set(threefry2x32(seed, [window, column]), 0);
  new Float32Array(words.buffer)[2] = temperature ?? 0;
  words.set([start, column, count], 3);
  return words;
}

/**
 * Draws codes[t, column] for t = start … T − 1 in codes (T, C) u32 from logits (T, COUNT) f32.
 * `sampling` is a uniform tensor with the words of `samplingCodesParams`. Throws ShapeError where
 * the tensors do not fit.
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
