// Sampling in plain f64: Hugging Face's filters (TemperatureLogitsWarper, TopKLogitsWarper,
// TopPLogitsWarper, BarkEosPrioritizerLogitsProcessor), suno's rule for the end, and the draw that
// the library's random numbers must lead to. The GPU's draws are compared with it.

import { gumbel, threefry2x32, type Words } from './random.ts';

export interface Filters {
  temperature: number;
  topK: number | null;
  topP: number | null;
}

function softmax(scores: ArrayLike<number>): Float64Array {
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
export const eosWinsRaw = (logits: ArrayLike<number>, eos: number, minEosPRaw: number): boolean =>
  softmax(logits)[eos]! > minEosPRaw;

/** Whether suno's rule ends the sentence; `probabilities` is what it draws from. */
export const eosWins = (probabilities: ArrayLike<number>, eos: number, minEosP: number): boolean =>
  probabilities[eos]! >= minEosP;

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
