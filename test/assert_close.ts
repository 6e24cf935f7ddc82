// Compares numbers within a tolerance; says where the worst one is, both values and how many
// failed.

export interface Tolerance {
  /** Relative to the expected value. */
  rtol?: number;
  /** Absolute. */
  atol?: number;
}

export function assertClose(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  { rtol = 0, atol = 0 }: Tolerance,
  label = '',
): void {
  if (actual.length !== expected.length)
    throw new Error(`${label}: got ${actual.length} values, expected ${expected.length}`);
  let failed = 0;
  let worst = -1;
  let worstExcess = 0;
  for (let i = 0; i < expected.length; i++) {
    const error = Math.abs(actual[i]! - expected[i]!);
    const excess = error / (atol + rtol * Math.abs(expected[i]!));
    if (excess <= 1) continue; // NaN fails this
    failed++;
    if (worst < 0 || !(excess <= worstExcess)) [worst, worstExcess] = [i, excess];
  }
  if (failed > 0)
    throw new Error(
      `${label}: ${failed} of ${expected.length} values differ; the worst at [${worst}]: got ${actual[worst]}, expected ${expected[worst]} (rtol ${rtol}, atol ${atol})`,
    );
}

/** Cosine of the angle between two vectors. */
export function cosine(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let [ab, aa, bb] = [0, 0, 0];
  for (let i = 0; i < a.length; i++) {
    ab += a[i]! * b[i]!;
    aa += a[i]! * a[i]!;
    bb += b[i]! * b[i]!;
  }
  return ab / Math.sqrt(aa * bb);
}
