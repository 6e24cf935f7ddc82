// What sampling is compared with: Hugging Face's filters in plain f64 (TemperatureLogitsWarper,
// TopKLogitsWarper, TopPLogitsWarper, BarkEosPrioritizerLogitsProcessor), the draw that the
// library's random numbers must lead to, and the χ² test of drawn numbers.

import { gumbel, threefry2x32, type Words } from '../kernels/sample/random.ts';

export interface Filters {
  temperature: number;
  topK: number | null;
  topP: number | null;
}

export function softmax(scores: ArrayLike<number>): Float64Array {
  const top = Array.from(scores).reduce((a, b) => Math.max(a, b), -Infinity);
  const e = Float64Array.from(scores, (s) => Math.exp(s - top));
  const sum = e.reduce((a, b) => a + b, 0);
  return e.map((v) => v / sum);
}

/** The distribution that HF draws from: 0 for what the filters remove. */
export function filtered(logits: ArrayLike<number>, { temperature, topK, topP }: Filters): Float64Array {
  let scores = Float64Array.from(logits, (l) => l / temperature);
  if (topK !== null) {
    const kth = Float64Array.from(scores).sort().at(-Math.min(topK, scores.length))!;
    scores = scores.map((s) => (s < kth ? -Infinity : s));
  }
  if (topP !== null && topP < 1) {
    const ascending = [...scores.keys()].sort((a, b) => scores[a]! - scores[b]!);
    const probabilities = softmax(scores);
    let cumulative = 0;
    for (const i of ascending.slice(0, -1)) {
      cumulative += probabilities[i]!;
      if (cumulative <= 1 - topP) scores[i] = -Infinity;
    }
  }
  return softmax(scores);
}

/** Whether BarkEosPrioritizer leaves nothing but EOS. */
export const eosWins = (logits: ArrayLike<number>, eos: number, minEosP: number): boolean =>
  softmax(logits)[eos]! > minEosP;

/** The draw by Gumbel-max with the random bits of (key, [step, index]), and by how much it won. */
export function expectedDraw(probabilities: Float64Array, key: Words, step: number): { index: number; gap: number } {
  let [index, best, second] = [-1, -Infinity, -Infinity];
  probabilities.forEach((p, i) => {
    if (p === 0) return;
    const score = Math.log(p) + gumbel(threefry2x32(key, [step, i])[0]);
    if (score > best) [index, best, second] = [i, score, best];
    else if (score > second) second = score;
  });
  return { index, gap: best - second };
}

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
