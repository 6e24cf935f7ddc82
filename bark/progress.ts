// What people read while they wait: a line for each stage, rewritten in place on a terminal and printed once, at the stage's end, elsewhere.

import { env } from '../runtime/platform.ts';
import type { ProgressEvent } from './options.ts';

export type Stage = ProgressEvent['stage'];

/** Where the lines go; `process.stderr` is one. */
export interface Screen {
  readonly isTTY?: boolean | undefined;
  readonly columns?: number | undefined;
  write(text: string): unknown;
}

const UNITS: Readonly<Record<Stage, string>> = { download: 'bytes', convert: 'bytes', load: 'tensors', semantic: 'tokens', coarse: 'tokens', fine: 'passes', codec: 'clips' };
const NAME_WIDTH = 10;
const REDRAW = 80; // ms between two writes of a line

export class Progress {
  readonly #screen: Screen;
  readonly #live: boolean;
  readonly #color: boolean;
  readonly #quiet: boolean;
  #stage: Stage | undefined;
  #start = 0;
  #drawn = 0;
  #open = false;

  constructor(screen: Screen, { quiet = false }: { quiet?: boolean } = {}) {
    this.#screen = screen;
    this.#quiet = quiet;
    this.#live = screen.isTTY === true && env('TERM') !== 'dumb';
    this.#color = this.#live && !env('NO_COLOR');
  }

  /** The clock of a stage starts; on a terminal its line appears. */
  begin(stage: Stage): void {
    this.#stage = stage;
    this.#start = performance.now();
    this.#drawn = 0;
    this.#draw('…');
  }

  /** A step of a stage; a stage that was not begun begins with it. */
  step({ stage, done, total }: ProgressEvent): void {
    if (this.#stage !== stage) this.begin(stage);
    if (performance.now() - this.#drawn < REDRAW) return;
    this.#draw(`${done}/${total} ${UNITS[stage]}${this.#rate(stage, done)}`);
  }

  /** The stage is over; what it did stays on the screen. Returns its milliseconds. */
  end(stage: Stage, done: number, note = `${done} ${UNITS[stage]}${this.#rate(stage, done)}`): number {
    const ms = this.#stage === stage ? performance.now() - this.#start : 0;
    this.#stage = undefined;
    if (!this.#quiet) this.#print(`${stage.padEnd(NAME_WIDTH)}${seconds(ms)}  ${this.#paint('2', note)}`);
    return ms;
  }

  /** A line for people, left out when quiet. */
  say(text: string): void {
    if (!this.#quiet) this.#print(text);
  }

  /** A line that is shown even when quiet. */
  warn(text: string): void {
    this.#print(`${this.#paint('33', 'warning:')} ${text}`);
  }

  fail(text: string): void {
    this.#print(`${this.#paint('31', 'error:')} ${text}`);
  }

  /** Takes an unfinished line away, before the process ends or something else is printed. */
  clear(): void {
    if (this.#open) this.#screen.write('\r\x1b[K');
    this.#open = false;
  }

  #rate(stage: Stage, done: number): string {
    const elapsed = (performance.now() - this.#start) / 1000;
    if ((stage !== 'semantic' && stage !== 'coarse') || done === 0 || elapsed === 0) return '';
    return `, ${(done / elapsed).toFixed(done / elapsed < 10 ? 1 : 0)}/s`;
  }

  #draw(text: string): void {
    if (!this.#live || this.#quiet || !this.#stage) return;
    const line = `${this.#stage.padEnd(NAME_WIDTH)}${seconds(performance.now() - this.#start)}  ${text}`;
    this.#drawn = performance.now();
    this.#open = true;
    this.#screen.write(`\r\x1b[K${line.slice(0, (this.#screen.columns || 80) - 1)}`);
  }

  #print(text: string): void {
    this.clear();
    this.#screen.write(`${text}\n`);
  }

  #paint(code: string, text: string): string {
    return this.#color ? `\x1b[${code}m${text}\x1b[0m` : text;
  }
}

/** '  2.31 s'; wide enough that the columns of all stages meet. */
export function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(2)} s`.padStart(9);
}
