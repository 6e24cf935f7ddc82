// What every corpus is made of: fixtures, seeded noise, and tokens of a format.

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { uniform } from '../random.ts';
import { bytesOf } from './pickle_code.ts';
import type { Sample } from './mutate.ts';

export const fixture = (path: string) => fileURLToPath(new URL(`../fixtures/${path}`, import.meta.url));
export const demo = (file: string) =>
  readFileSync(fileURLToPath(new URL(`../../bark/demo_voice/${file}`, import.meta.url)));
export const own = (bytes: Uint8Array) => new Uint8Array(bytes);

export const noise = (n: number, seed: number) => {
  const next = uniform(seed);
  return Uint8Array.from({ length: n }, () => next() * 256);
};

/** Small committed fixtures of a folder, by their ending. */
export function fixtures(folder: string, ending: RegExp, limit = 300_000): { name: string; bytes: Uint8Array }[] {
  if (!existsSync(fixture(folder))) return [];
  return readdirSync(fixture(folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && ending.test(entry.name))
    .map((entry) => ({ name: entry.name, bytes: own(readFileSync(`${entry.parentPath ?? entry.path}/${entry.name}`)) }))
    .filter(({ bytes }) => bytes.length <= limit)
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

export const texts = (...list: string[]) => list.map((text) => bytesOf(text));

export interface Corpus {
  readonly samples: readonly Sample[];
  readonly tokens: readonly Uint8Array[];
}
