// The decode of a residual vector quantiser: the sum of one entry of each codebook. HF:
// EncodecResidualVectorQuantizer.decode.

import { ShapeError } from '../../runtime/base/errors.ts';
import type { Recorder } from '../../runtime/compute/program.ts';
import { expectDType, expectShape, type Tensor } from '../../runtime/compute/tensor.ts';
import { shader } from '../shaders.ts';

/**
 * y (B, T, D) = Σ_q table[q, codes[b, q, t]], f32, for codes (B, Q, T) u32 and a table (Q or more,
 * size, D) f32. Codes must be below `size`; nothing checks that. Throws ShapeError where the
 * tensors do not fit.
 */
export function codebookSum(r: Recorder, y: Tensor, codes: Tensor, table: Tensor): void {
  expectDType('codebookSum', 'codes', codes, 'u32', 'i32');
  expectDType('codebookSum', 'table', table, 'f32');
  expectShape('codebookSum', 'table', table, [null, null, null]);
  expectShape('codebookSum', 'codes', codes, [null, null, null]);
  const [batch, codebooks, frames] = codes.shape as readonly [number, number, number];
  const [stored, size, width] = table.shape as readonly [number, number, number];
  if (codebooks > stored)
    throw new ShapeError(
      `codebookSum: codes (${codes.label}) have ${codebooks} codebooks, expected at most the ${stored} of ${table.label}.`,
    );
  expectShape('codebookSum', 'y', y, [batch, frames, width]);
  r.dispatch(shader('codebook_sum'), {
    overrides: { SIZE: size, D: width },
    bind: { p: [frames, codebooks], codes, table, y },
    grid: [Math.ceil((frames * width) / 64), 1, batch],
  });
}
