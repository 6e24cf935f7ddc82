// Names as messages tell them: quoted and cut, and those that are like a name that is not there, of
// tensors, voices, options.
// Bounded in time, whatever a file calls its tensors.

import { WeightsError } from './errors.ts';

/** What a file says, safe and short enough for a message. */
export function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? 'none';
  return text.length > 120 ? `${text.slice(0, 117)}...` : text;
}

/** The error for a tensor that is under none of `wanted`. */
export function missingTensor(label: string, wanted: string[], names: readonly string[]): WeightsError {
  const near = nearestNames(wanted[0]!, names);
  const hint =
    near.length > 0
      ? `Nearest names: ${near.join(', ')}.`
      : names.length === 0
        ? 'It holds no tensors.'
        : 'Is this the right checkpoint?';
  return new WeightsError(`${label}: got no tensor ${wanted.join(' or ')}, expected one. ${hint}`);
}

const NEAR_CANDIDATES = 500;
const NEAR_LENGTH = 160;

/**
 * Up to `count` of `names` that are most like `name`, best first: by edit distance among those that
 * share the longest dotted prefix. Cost is bounded: names of like length only, a few hundred of
 * them, and no monstrously long ones.
 */
export function nearestNames(name: string, names: readonly string[], count = 3): string[] {
  if (name.length > NEAR_LENGTH) return [];
  const usable = names.filter((other) => other.length <= NEAR_LENGTH);
  const near = new Map<string, number>();
  const parts = name.split('.');
  for (let depth = parts.length - 1; depth >= 0 && near.size < count; depth--) {
    const prefix = parts
      .slice(0, depth)
      .map((part) => `${part}.`)
      .join('');
    const unlike = (other: string) => Math.abs(other.length - name.length);
    usable
      .filter((other) => other.startsWith(prefix) && !near.has(other))
      .sort((a, b) => unlike(a) - unlike(b))
      .slice(0, NEAR_CANDIDATES)
      .map((other) => ({ other, distance: editDistance(name.slice(prefix.length), other.slice(prefix.length)) }))
      // Beyond two thirds of the word nothing of it is left to recognise.
      .filter(({ distance }) => distance <= Math.max(2, (2 * (name.length - prefix.length)) / 3))
      .sort((a, b) => a.distance - b.distance)
      .slice(0, count - near.size)
      .forEach(({ other, distance }) => near.set(other, distance));
  }
  return [...near.keys()];
}

/** Levenshtein distance, one row at a time. */
function editDistance(a: string, b: string): number {
  let above = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      row[j] = Math.min(above[j]! + 1, row[j - 1]! + 1, above[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1));
    }
    above = row;
  }
  return above[b.length]!;
}
