// The decode of a residual vector quantiser as plain loops in f64: what the GPU is compared with.

/** codes (B, Q, T), table (at least Q, size, D) → (B, T, D). */
export function codebookSum(
  codes: ArrayLike<number>,
  table: ArrayLike<number>,
  batch: number,
  codebooks: number,
  frames: number,
  size: number,
  width: number,
): Float64Array {
  const y = new Float64Array(batch * frames * width);
  for (let b = 0; b < batch; b++) {
    for (let t = 0; t < frames; t++) {
      for (let q = 0; q < codebooks; q++) {
        const code = codes[(b * codebooks + q) * frames + t]!;
        for (let d = 0; d < width; d++) y[(b * frames + t) * width + d]! += table[(q * size + code) * width + d]!;
      }
    }
  }
  return y;
}
