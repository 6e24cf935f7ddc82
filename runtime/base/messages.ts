// Pieces of messages: quoted values, byte counts, and suggestions for a misspelt name (of a tensor,
// a voice, an option). Files may hold hostile names, so every function here is bounded in time and
// in the length of its result.

import { WeightsError } from './errors.ts';

const STYLES = {
  /** Names and header fields of weight files. */
  file: { quote: '"', limit: 120, absent: 'none' },
  /** Values of settings in a JSON file, as `show` in json.ts writes them. */
  setting: { quote: "'", limit: 60, absent: 'undefined' },
};

/**
 * A value from a file or a caller as JSON, cut to a length that fits a message; what JSON has no
 * words for by its kind, such as 'a function' or 'an Int32Array'. Never throws.
 */
export function shown(value: unknown, style: keyof typeof STYLES = 'file'): string {
  const { quote, limit, absent } = STYLES[style];
  const json = typeof value === 'string' && quote === "'" ? `'${value}'` : (notJson(value) ?? jsonOf(value) ?? absent);
  return json.length > limit ? `${json.slice(0, limit - 3)}...` : json;
}

function jsonOf(value: unknown): string | undefined {
  try {
    return JSON.stringify(value);
  } catch {
    return 'an object'; // one that holds itself, or a bigint
  }
}

/** What JSON.stringify would throw for, or call null or {}. */
function notJson(value: unknown): string | undefined {
  if (typeof value === 'number') return String(value);
  if (typeof value === 'bigint') return `${value}n`;
  if (typeof value === 'function' || typeof value === 'symbol') return `a ${typeof value}`;
  const kind = Object.prototype.toString.call(value).slice('[object '.length, -1);
  if (typeof value !== 'object' || value === null || ['Object', 'Array', 'URL', 'Date'].includes(kind))
    return undefined;
  return `${/^[AEIO]/.test(kind) ? 'an' : 'a'} ${kind}`;
}

/** '2.31 GB', '612 MB', '9.6 kB': powers of 1000 with three digits, as the Hub's pages count. */
export function byteCount(bytes: number): string {
  const exponent = Math.min(4, Math.floor(Math.log10(Math.max(1, Math.round(bytes))) / 3));
  const value = bytes / 1000 ** exponent;
  const digits = exponent === 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
  return `${value.toFixed(digits)} ${['B', 'kB', 'MB', 'GB', 'TB'][exponent]}`;
}

/** The error for a tensor that a checkpoint has under none of the names `wanted`. */
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
 * Up to `count` of `names` that are most similar to `name`, best first. Names that share the
 * longest dotted prefix come first, ordered by edit distance. The cost is bounded: names over
 * NEAR_LENGTH characters are ignored, and at each depth only the NEAR_CANDIDATES closest in length
 * are compared.
 * `most`: the largest edit distance; by default two thirds of the characters, and at least 2: with
 * more changed the names have nothing in common.
 */
export function nearestNames(name: string, names: readonly string[], count = 3, most?: number): string[] {
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
      .filter(({ distance }) => distance <= (most ?? Math.max(2, (2 * (name.length - prefix.length)) / 3)))
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
