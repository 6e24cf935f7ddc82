// nn.LayerNorm as plain loops in f64: what the GPU is compared with.

/** Mean and biased variance of each row of x (M, C). */
export function moments(x: ArrayLike<number>, m: number, c: number): { mean: number; variance: number }[] {
  return Array.from({ length: m }, (_, i) => {
    let mean = 0;
    for (let j = 0; j < c; j++) mean += x[i * c + j]! / c;
    let variance = 0;
    for (let j = 0; j < c; j++) variance += (x[i * c + j]! - mean) ** 2 / c;
    return { mean, variance };
  });
}

/** torch nn.LayerNorm over the last dimension of x (M, C), biased variance. */
export function layerNorm(
  x: ArrayLike<number>,
  weight: ArrayLike<number>,
  bias: ArrayLike<number> | null,
  m: number,
  eps = 1e-5,
): Float64Array {
  const c = weight.length;
  const rows = moments(x, m, c);
  return Float64Array.from({ length: m * c }, (_, at) => {
    const { mean, variance } = rows[Math.floor(at / c)]!;
    return ((x[at]! - mean) / Math.sqrt(variance + eps)) * weight[at % c]! + (bias ? bias[at % c]! : 0);
  });
}
