// The χ² test: how likely it is that drawn numbers come from a distribution.

/**
 * How probable it is that `drawn` is at least this far from `probabilities` by chance (Pearson's
 * χ²); 0 if something impossible was drawn.
 */
export function chiSquare(drawn: ArrayLike<number>, probabilities: Float64Array): number {
  const counts = new Float64Array(probabilities.length);
  for (const i of Array.from(drawn)) counts[i]!++;
  if (counts.some((c, i) => c > 0 && probabilities[i] === 0)) return 0;
  // Bins with few expected draws are put together, in descending order of probability, until 8 are
  // expected.
  const order = [...probabilities.keys()]
    .filter((i) => probabilities[i]! > 0)
    .sort((a, b) => probabilities[b]! - probabilities[a]!);
  const bins: { seen: number; expected: number }[] = [];
  let [seen, expected] = [0, 0];
  for (const i of order) {
    seen += counts[i]!;
    expected += probabilities[i]! * drawn.length;
    if (expected < 8) continue;
    bins.push({ seen, expected });
    [seen, expected] = [0, 0];
  }
  const last = bins.at(-1)!;
  last.seen += seen;
  last.expected += expected;
  const statistic = bins.reduce((sum, b) => sum + (b.seen - b.expected) ** 2 / b.expected, 0);
  return bins.length > 1 ? gammaQ((bins.length - 1) / 2, statistic / 2) : 1;
}

/**
 * Regularized upper incomplete gamma function Q(a, x): Numerical Recipes 6.2, series below a + 1,
 * continued fraction (Lentz) above.
 */
export function gammaQ(a: number, x: number): number {
  if (x <= 0) return 1;
  const front = Math.exp(a * Math.log(x) - x - logGamma(a));
  if (x < a + 1) {
    let [term, sum] = [1 / a, 1 / a];
    for (let n = 1; term > sum * 1e-15; n++) sum += term *= x / (a + n);
    return 1 - front * sum;
  }
  let b = x + 1 - a;
  let c = 1e300;
  let d = 1 / b;
  let h = d;
  for (let n = 1, delta = 0; Math.abs(delta - 1) > 1e-14; n++) {
    const an = -n * (n - a);
    b += 2;
    d = 1 / (an * d + b);
    c = b + an / c;
    h *= delta = d * c;
  }
  return front * h;
}

/** log Γ(x) for x > 0: Stirling's series after shifting x above 10. */
function logGamma(x: number): number {
  let shift = 0;
  for (; x < 10; x++) shift += Math.log(x);
  return (
    (x - 0.5) * Math.log(x) -
    x +
    Math.log(2 * Math.PI) / 2 +
    1 / (12 * x) -
    1 / (360 * x ** 3) +
    1 / (1260 * x ** 5) -
    shift
  );
}
