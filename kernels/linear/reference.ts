// nn.Linear and GELU as plain loops in f64 over row-major arrays: what the GPU is compared with.
// Slow on purpose and as close to the definition as possible. Operands are taken as stored (rounded
// to f16 before). Where an f32 kernel must round, the sum of the addends' sizes is returned too,
// since rounding errors are bounded by a few units of it, which is what the tests allow.

/** Values with, for each, Σ|addends|: the scale of its rounding error. */
export interface Sized {
  readonly values: Float64Array;
  readonly sizes: Float64Array;
}

/** erf by its all-positive series e^{-x²}·2/√π·Σ 2ⁿx^{2n+1}/(2n+1)!!, to f64. */
function erf(x: number): number {
  const z = Math.abs(x);
  if (z > 6) return Math.sign(x);
  let term = z;
  let sum = z;
  for (let n = 1; term > 1e-17 * sum; n++) sum += term *= (2 * z * z) / (2 * n + 1);
  return Math.sign(x) * (2 / Math.sqrt(Math.PI)) * Math.exp(-z * z) * sum;
}

/** torch nn.GELU(). */
export const gelu = (x: number): number => 0.5 * x * (1 + erf(x / Math.SQRT2));

/** torch nn.Linear: x (M, K) · wᵀ (N, K) + bias (N) → (M, N). */
export function linear(
  x: ArrayLike<number>,
  w: ArrayLike<number>,
  bias: ArrayLike<number> | null,
  [m, n, k]: readonly [number, number, number],
): Sized {
  const values = new Float64Array(m * n);
  const sizes = new Float64Array(m * n);
  for (let i = 0; i < m; i++) {
    for (let j = 0; j < n; j++) {
      let sum = bias ? bias[j]! : 0;
      let size = Math.abs(sum);
      for (let c = 0; c < k; c++) {
        const product = x[i * k + c]! * w[j * k + c]!;
        sum += product;
        size += Math.abs(product);
      }
      values[i * n + j] = sum;
      sizes[i * n + j] = size;
    }
  }
  return { values, sizes };
}
