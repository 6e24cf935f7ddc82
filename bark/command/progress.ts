// What people read while they wait: a line for each stage and for each file that is fetched or
// written, rewritten in place on a terminal; elsewhere printed once, at its end, and now and then
// while a large file is on its way.

import { byteCount } from '../../runtime/base/messages.ts';
import { printable as printableText } from '../../runtime/base/printable.ts';
import { env } from '../../runtime/host/platform.ts';
import type { ProgressEvent } from '../options.ts';

export type Stage = ProgressEvent['stage'];

/** Where the lines go; `process.stderr` is one. */
export interface Screen {
  readonly isTTY?: boolean | undefined;
  readonly columns?: number | undefined;
  write(text: string): unknown;
}

export interface ProgressOptions {
  quiet?: boolean;
  /** Milliseconds; for tests. */
  clock?: () => number;
}

/** A file on its way. */
interface Transfer {
  readonly start: number;
  /** Bytes that were here before. */
  readonly from: number;
  /** When and where it was a while ago; its speed is measured from there. */
  marks: { time: number; done: number }[];
  /** When it was last told of, where lines stay. */
  told: number;
  finished: boolean;
}

const UNITS: Readonly<Record<Stage, string>> = {
  download: 'bytes',
  convert: 'bytes',
  load: 'tensors',
  semantic: 'tokens',
  coarse: 'tokens',
  fine: 'passes',
  codec: 'clips',
};
const NAME_WIDTH = 10;
const REDRAW = 80; // ms between two writes of a line
const TELL = 10_000; // ms between two lines of a file where lines stay
const WORTH = { ms: 1000, bytes: 1e6 }; // a download below both is not told of
const WINDOW = 5000; // ms over which a speed is measured

export class Progress {
  readonly #screen: Screen;
  readonly #live: boolean;
  readonly #color: boolean;
  readonly #quiet: boolean;
  readonly #now: () => number;
  readonly #transfers = new Map<string, Transfer>();
  #stage: Stage | undefined;
  #start = 0;
  #drawn = 0;
  #open = false;
  /** Since when files are on their way, without a moment between them. */
  #transferring = 0;

  constructor(screen: Screen, { quiet = false, clock = () => performance.now() }: ProgressOptions = {}) {
    this.#screen = screen;
    this.#quiet = quiet;
    this.#now = clock;
    this.#live = screen.isTTY === true && env('TERM') !== 'dumb';
    this.#color = this.#live && !env('NO_COLOR');
  }

  /** The clock of a stage starts; on a terminal its line appears. */
  begin(stage: Stage): void {
    this.#stage = stage;
    this.#start = this.#now();
    this.#drawn = 0;
    this.#draw('…');
  }

  /** A step of a stage, or of a file; a stage that was not begun begins with it. */
  step(event: ProgressEvent): void {
    const { stage, done, total } = event;
    if (stage === 'download' || stage === 'convert') return this.#transfer(event);
    if (this.#stage !== stage) this.begin(stage);
    if (this.#now() - this.#drawn < REDRAW) return;
    this.#draw(`${done}/${total} ${UNITS[stage]}${this.#rate(stage, done)}`);
  }

  /**
   * The stage is over; what it did stays on the screen. Returns its milliseconds, those of
   * downloads on the way left out.
   */
  end(stage: Stage, done: number, note = `${done} ${UNITS[stage]}${this.#rate(stage, done)}`): number {
    const ms = this.#stage === stage ? this.#now() - this.#start : 0;
    this.#stage = undefined;
    if (!this.#quiet) this.#print(`${stage.padEnd(NAME_WIDTH)}${seconds(ms)}  ${this.#paint('2', note)}`);
    return ms;
  }

  /** The files that are on their way. */
  transfers(stage: 'download' | 'convert'): number {
    return [...this.#transfers].filter(([key, { finished }]) => key.startsWith(`${stage} `) && !finished).length;
  }

  /** A line for people, left out when quiet. */
  say(text: string): void {
    if (!this.#quiet) this.#print(printable(text));
  }

  /** A line that is shown even when quiet. */
  warn(text: string): void {
    this.#print(`${this.#paint('33', 'warning:')} ${printable(text)}`);
  }

  /** A question; the answer is typed behind it. */
  ask(text: string): void {
    this.clear();
    this.#open = true;
    this.#screen.write(printable(text));
  }

  fail(text: string): void {
    this.#print(`${this.#paint('31', 'error:')} ${printable(text)}`);
  }

  /** Takes an unfinished line away, before the process ends or something else is printed. */
  clear(): void {
    if (this.#open) this.#screen.write('\r\x1b[K');
    this.#open = false;
  }

  #transfer({ stage, done, total, file = '' }: ProgressEvent): void {
    const now = this.#now();
    const key = `${stage} ${file}`;
    let transfer = this.#transfers.get(key);
    if (!transfer || (transfer.finished && done < total)) {
      if (this.transfers('download') + this.transfers('convert') === 0) this.#transferring = now;
      transfer = { start: now, from: done, marks: [{ time: now, done }], told: now, finished: false };
      this.#transfers.set(key, transfer);
    }
    if (transfer.finished) return;
    // begun again: another file took its place on the server
    if (done < (transfer.marks.at(-1)?.done ?? 0)) transfer.marks = [];
    transfer.marks.push({ time: now, done });
    while (transfer.marks.length > 2 && now - transfer.marks[1]!.time > WINDOW) transfer.marks.shift();
    const width = this.#live ? this.#screen.columns || 80 : Infinity;
    const line = (note: string, painted = note) =>
      `${stage.padEnd(NAME_WIDTH)}${shorten(printable(file), width - NAME_WIDTH - note.length - 3)}  ${painted}`;

    if (done >= total) {
      transfer.finished = true;
      // The stage that waited for it did not take that long itself.
      if (this.transfers('download') + this.transfers('convert') === 0) this.#start += now - this.#transferring;
      const took = now - transfer.start;
      const fetched = Math.max(0, total - transfer.from);
      if (this.#quiet || (stage === 'download' && took < WORTH.ms && fetched < WORTH.bytes)) return this.clear();
      const note = `${byteCount(total)} in ${seconds(took).trim()}${took > 0 ? `, ${byteCount((1000 * fetched) / took)}/s` : ''}`;
      this.#print(line(note, this.#paint('2', note)));
      return;
    }
    if (this.#quiet) return;
    if (this.#live && now - this.#drawn >= REDRAW) {
      this.#drawn = now;
      this.#write(line(transferNote(stage, done, total, transfer)));
    } else if (!this.#live && now - transfer.told >= TELL) {
      transfer.told = now;
      this.#print(line(transferNote(stage, done, total, transfer)));
    }
  }

  #rate(stage: Stage, done: number): string {
    const elapsed = (this.#now() - this.#start) / 1000;
    if ((stage !== 'semantic' && stage !== 'coarse') || done === 0 || elapsed === 0) return '';
    return `, ${(done / elapsed).toFixed(done / elapsed < 10 ? 1 : 0)}/s`;
  }

  #draw(text: string): void {
    if (!this.#live || this.#quiet || !this.#stage) return;
    this.#drawn = this.#now();
    this.#write(`${this.#stage.padEnd(NAME_WIDTH)}${seconds(this.#now() - this.#start)}  ${text}`);
  }

  /** Puts a line in place of the unfinished one. */
  #write(line: string): void {
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

/** '12 %  201 MB of 1.68 GB, 35 MB/s, 42 s left' */
function transferNote(stage: Stage, done: number, total: number, { marks }: Transfer): string {
  const [first, last] = [marks[0]!, marks.at(-1)!];
  const speed = last.time > first.time ? (1000 * (last.done - first.done)) / (last.time - first.time) : 0;
  const percent = stage === 'download' ? `${String(Math.floor((100 * done) / total)).padStart(2)} %  ` : '';
  return `${percent}${byteCount(done)} of ${byteCount(total)}${speed > 0 ? `, ${byteCount(speed)}/s, ${timeLeft((total - done) / speed)} left` : ''}`;
}

/** Control characters become U+FFFD: names that come from files must not steer a terminal. */
export const printable = (text: string): string => printableText(text, { oneLine: true });

/** The end of a path that fits; it is the end that differs. */
function shorten(path: string, width: number): string {
  return path.length <= width ? path : `…${path.slice(path.length - Math.max(1, width - 1))}`;
}

function timeLeft(left: number): string {
  if (left < 90) return `${Math.ceil(left)} s`;
  const minutes = Math.round(left / 60);
  return minutes < 90 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** '  2.31 s'; wide enough that the columns of all stages meet. */
export function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(2)} s`.padStart(9);
}
