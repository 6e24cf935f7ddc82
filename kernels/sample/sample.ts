// Chooses the next token of each sentence: Hugging Face's EOS rule, then either argmax or
// temperature, top-k, top-p and a random draw, in Hugging Face's order, and suno's EOS rule on what
// was drawn from. Afterwards it advances the sentence's row of the state. The settings are a small
// uniform tensor, so the host can change them between runs without recording or compiling anything
// again. They are not checked here; callers check them.

import { ShapeError } from '../../runtime/base/errors.ts';
import type { Recorder } from '../../runtime/compute/program.ts';
import { expectDType, expectShape, type Tensor } from '../../runtime/compute/tensor.ts';
import { shader } from '../shaders.ts';

/** The tokens that logits 0, 1, … of a step stand for: `count` token ids, starting at `first`. */
export interface TokenWindow {
  readonly first: number;
  readonly count: number;
}

export interface Sampling {
  /** null: greedy, and top-k and top-p have no effect. */
  readonly temperature: number | null;
  /** Keep the scores that are not below the k-th largest; null: keep all. */
  readonly topK: number | null;
  /** Keep the most probable scores, by Hugging Face's rule; null or 1: keep all. */
  readonly topP: number | null;
  /**
   * suno's rule: choose EOS whenever its probability, after temperature and filters, is at least
   * this. Without a temperature it chooses nothing that argmax does not. null: off.
   */
  readonly minEosP: number | null;
  /**
   * Hugging Face's rule: choose EOS whenever its probability, before temperature and filters, is
   * above this; null or left out: off.
   */
  readonly minEosPRaw?: number | null;
  /** The tokens that even and odd steps can draw. */
  readonly even: TokenWindow;
  readonly odd: TokenWindow;
  /** Index of the logit (not the token id) that ends the sentence; null: none does. */
  readonly eos: number | null;
}

/** Length of the `sampling` tensor in 32-bit words. */
export const SAMPLING_WORDS = 12;

/**
 * The contents of the `sampling` tensor, `struct Sampling` of sample.wgsl: temperature f32, top_k
 * u32, top_p f32, min_eos_p f32, then u32: count in even and odd steps, first in even and odd
 * steps, eos; then min_eos_p_raw f32, padding.
 */
export function samplingParams(settings: Sampling): Uint32Array {
  const { temperature, topK, topP, minEosP, minEosPRaw, even, odd, eos } = settings;
  const words = new Uint32Array(SAMPLING_WORDS);
  const floats = new Float32Array(words.buffer);
  floats[0] = temperature ?? 0;
  words[1] = topK ?? 0;
  floats[2] = topP ?? 1;
  floats[3] = minEosP ?? 0;
  words.set([even.count, odd.count, even.first, odd.first, eos ?? 0xffffffff], 4);
  floats[9] = minEosPRaw ?? 0;
  return words;
}

const ROW_WORDS = 8; // size of struct Row in common/state.wgsl

/**
 * Draws one token for each row of logits (B, COUNT) f32, writes it to tokens (B, PITCH) u32 at
 * [row, state.base + state.step], and advances the state (B rows or more, bound as storage here).
 * For a row that is done only the step advances. `sampling` is a uniform tensor with the words of
 * `samplingParams`. Throws ShapeError where the tensors do not fit.
 */
export function sample(r: Recorder, tokens: Tensor, logits: Tensor, state: Tensor, sampling: Tensor): void {
  const [batch = 0, count = 0] = logits.shape;
  const pitch = tokens.shape[1] ?? 0;
  expectShape('sample', 'logits', logits, [null, null]);
  expectShape('sample', 'tokens', tokens, [batch, pitch]);
  expectDType('sample', 'logits', logits, 'f32');
  expectDType('sample', 'tokens', tokens, 'u32');
  if (state.shape.reduce((a, b) => a * b, 1) < ROW_WORDS * batch)
    throw new ShapeError(
      `sample: state (${state.label}) has shape (${state.shape}), expected at least ${batch} rows of ${ROW_WORDS} words.`,
    );
  r.dispatch(shader('sample'), { bind: { params: [count, pitch], sampling, logits, state, tokens }, grid: [batch] });
}
