// The next token of each sentence: EOS rule, argmax, or temperature, top-k, top-p and a draw, in
// Hugging Face's order; then the sentence's row of the state moves on. The settings are a small
// uniform tensor that the host may rewrite between runs: nothing is recorded or compiled anew.
// Nothing here checks them; that is the caller's.

import { ShapeError } from '../../runtime/base/errors.ts';
import type { Recorder } from '../../runtime/compute/program.ts';
import { expectDType, expectShape, type Tensor } from '../../runtime/compute/tensor.ts';
import { shader } from '../shaders.ts';

/** `count` tokens from the id `first` on: what logits 0, 1, … of a step stand for. */
export interface TokenWindow {
  readonly first: number;
  readonly count: number;
}

export interface Sampling {
  /** null: greedy; top-k and top-p are then unused. */
  readonly temperature: number | null;
  /** Keep scores not below the k-th largest; null: off. */
  readonly topK: number | null;
  /** Keep the likeliest scores, by HF's rule; null or 1: off. */
  readonly topP: number | null;
  /** Above this probability of EOS, before temperature and filters, the draw is EOS; null: off. */
  readonly minEosP: number | null;
  /** What even and odd steps can draw. */
  readonly even: TokenWindow;
  readonly odd: TokenWindow;
  /** The logit (not the token) that ends the sentence; null: none does. */
  readonly eos: number | null;
}

/** 32-bit words of the `sampling` tensor. */
export const SAMPLING_WORDS = 12;

/**
 * `struct Sampling` of sample.wgsl: temperature f32, top_k u32, top_p f32, min_eos_p f32, count
 * even, odd, first even, odd, eos; padded.
 */
export function samplingParams({ temperature, topK, topP, minEosP, even, odd, eos }: Sampling): Uint32Array {
  const words = new Uint32Array(SAMPLING_WORDS);
  const floats = new Float32Array(words.buffer);
  floats[0] = temperature ?? 0;
  words[1] = topK ?? 0;
  floats[2] = topP ?? 1;
  floats[3] = minEosP ?? 0;
  words.set([even.count, odd.count, even.first, odd.first, eos ?? 0xffffffff], 4);
  return words;
}

const ROW_WORDS = 8; // struct Row of common/state.wgsl

/**
 * Draws one token for each row of logits (B, COUNT) f32, writes it to tokens (B, PITCH) u32 at
 * [row, base + step], and advances state (≥ B rows; bound as storage here). Rows that are done draw
 * and write nothing; their step advances. `sampling` is a uniform tensor that holds
 * `samplingParams(…)`.
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
