// What all suites share: the shape of a result, medians, child processes, and the printed table.

import { fork } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { packageProgram } from '../../runtime/host/package_root.ts';
import type { Asked } from './machine.ts';

/** One line of `--json`. Numbers that could not be measured are null, never guessed. */
export interface Result {
  readonly suite: string;
  /** 'small', 'large' or a path. */
  readonly model: string;
  readonly layers: number;
  readonly adapter: string;
  readonly backend: string;
  /** Null where a GPU computes. */
  readonly threads: number | null;
  readonly cpu: string;
  readonly dtype: 'float16' | 'float32';
  readonly variant: string;
  readonly [field: string]: string | number | boolean | null;
}

export interface BenchOptions extends Asked {
  /** 'small', 'large', 'tiny' or the path of a model's folder. */
  readonly model: string;
  readonly quick: boolean;
  readonly repeats: number;
  /** Folder for generated checkpoints. */
  readonly dir?: string | undefined;
  readonly dtype?: 'float16' | 'float32' | undefined;
  readonly cold: boolean;
}

export interface Suite {
  readonly name: string;
  /** One line for `--help`. */
  readonly about: string;
  /** Fields that the printed table shows, in this order; `--json` prints all fields. */
  readonly columns: readonly string[];
  /** Text printed after the table, for example which targets were met. */
  closing?(results: readonly Result[]): string;
  run(options: BenchOptions, emit: (result: Result) => void, note: (text: string) => void): Promise<void>;
}

/** The middle value; of an even number the mean of the two in the middle. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  return sorted.length % 2 ? sorted[Math.floor(middle)]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** `value` rounded to `decimals` decimals. */
export const rounded = (value: number, decimals = 1): number => Math.round(value * 10 ** decimals) / 10 ** decimals;

/**
 * Runs a script of the bench, such as 'bench/suites/load_child', in a child process with `input` as
 * its argument, and resolves with the one message that it sends. Rejects with the end of its output
 * if it fails or takes longer than `seconds`.
 */
export async function inChild<T>(script: string, input: object, seconds = 600): Promise<T> {
  const program = await packageProgram(script);
  if (!program) throw new Error(`${script}: got no folder of this package, expected the code to lie in it.`);
  return new Promise((resolve, reject) => {
    const path = fileURLToPath(program);
    const execArgv = path.endsWith('.ts') ? ['--import', import.meta.resolve('tsx')] : [];
    const child = fork(path, [JSON.stringify(input)], {
      execArgv,
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      timeout: 1000 * seconds,
    });
    let said = '';
    let answer: T | undefined;
    for (const stream of [child.stdout, child.stderr])
      stream!.on('data', (text: Buffer) => (said = (said + text.toString()).slice(-4000)));
    child.on('message', (message) => (answer = message as T));
    child.on('error', reject);
    child.on('exit', (code, signal) =>
      answer !== undefined
        ? resolve(answer)
        : reject(new Error(`${script} ended with ${signal ?? code} and no result:\n${said.trim()}`)),
    );
  });
}

/** num_layers of a model's folder. */
export function layersOf(folder: string): number {
  const { semantic_config } = JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8')) as {
    semantic_config?: { num_layers?: number };
  };
  return semantic_config?.num_layers ?? 0;
}

/** Results as a text table, a row for each result; a missing field is '-'. */
export function table(results: readonly Result[], columns: readonly string[]): string {
  return aligned([columns, ...results.map((result) => columns.map((column) => `${result[column] ?? '-'}`))]);
}

/** Rows of cells as lines of text, each column as wide as its widest cell. */
export function aligned(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]!.map((_, i) => Math.max(...rows.map((row) => row[i]!.length)));
  const line = (row: readonly string[]): string => row.map((cell, i) => cell.padEnd(widths[i]!)).join('  ');
  return rows.map((row) => line(row).trimEnd()).join('\n');
}
