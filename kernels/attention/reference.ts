// Attention over the KV cache as plain loops in f64: what the GPU is compared with.

import type { Sized } from '../linear/reference.ts';

/**
 * What `attend` needs to know: heads, channels of a head, and the positions there is room for in
 * the cache.
 */
export interface AttentionShape {
  readonly heads: number;
  readonly headDim: number;
  readonly capacity: number;
}

/**
 * softmax(q·Kᵀ/√D)·V of one query (heads · D) of row `slot` over its cached positions 0 … seen − 1;
 * keys and values (B, heads, capacity, D). `sizes` are Σ p·|v|, and `scoreSize` the largest
 * Σ|q·k|/√D: errors of the scores are relative errors of p.
 */
export function attend(
  q: ArrayLike<number>,
  keys: ArrayLike<number>,
  values: ArrayLike<number>,
  { heads, headDim, capacity }: AttentionShape,
  slot: number,
  seen: number,
): Sized & { scoreSize: number } {
  const out = { values: new Float64Array(heads * headDim), sizes: new Float64Array(heads * headDim), scoreSize: 0 };
  for (let h = 0; h < heads; h++) {
    const cache = (slot * heads + h) * capacity * headDim;
    const scores = Array.from({ length: seen }, (_, t) => {
      let score = 0;
      let size = 0;
      for (let c = 0; c < headDim; c++) {
        const product = (q[h * headDim + c]! * keys[cache + t * headDim + c]!) / Math.sqrt(headDim);
        score += product;
        size += Math.abs(product);
      }
      out.scoreSize = Math.max(out.scoreSize, size);
      return score;
    });
    const top = Math.max(...scores);
    const weights = scores.map((s) => Math.exp(s - top));
    const total = weights.reduce((a, b) => a + b);
    for (let t = 0; t < seen; t++) {
      for (let c = 0; c < headDim; c++) {
        const v = (weights[t]! / total) * values[cache + t * headDim + c]!;
        out.values[h * headDim + c]! += v;
        out.sizes[h * headDim + c]! += Math.abs(v);
      }
    }
  }
  return out;
}
