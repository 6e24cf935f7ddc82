// What ran when, as Chrome trace events, which ui.perfetto.dev and chrome://tracing open: stages
// and submits on the host's clock, and on the GPU's own every dispatch by its shader's name.
//
// BARK_TRACE=file.json turns it on for a process; `Device.request({ trace: true })` for one device,
// as in a page, where stages and submits also appear in the browser's own profiler
// (performance.measure) and `device.trace.toJSON()` gives the events. It is off otherwise, and costs
// nothing then. While it is on, every dispatch on a device with timestamps has a pass of its own
// (stamps.ts), so that a sentence takes longer.
// Format: "Trace Event Format", the document of the Chromium project's Catapult.

import { Stamps, type StampedStep } from './stamps.ts';
import type { Step } from '../step.ts';

/** A complete event; times in microseconds. */
interface TraceEvent {
  readonly name: string;
  readonly cat: 'stage' | 'submit' | 'readback' | 'dispatch';
  readonly ph: 'X';
  readonly ts: number;
  readonly dur: number;
  readonly pid: number;
  readonly tid: number;
  readonly args?: Readonly<Record<string, unknown>>;
}

const HOST = 1; // process ids of the trace
const GPU = 2;
const TRACKS = [
  [HOST, 1, 'stage', 'stages'],
  [HOST, 2, 'submit', 'submits'],
  [HOST, 3, 'readback', 'read-backs'],
  [GPU, 1, 'dispatch', 'dispatches'],
] as const;

/** An encoder that is not submitted yet. */
interface Open {
  readonly stamps: Stamps;
  readonly start: number;
  /** The first program in it. */
  label?: string;
}

const microseconds = (): number => 1000 * performance.now();

export class Trace {
  /** Whether dispatches are to be encoded by `encode`, one by one. */
  readonly stamped: boolean;
  readonly #gpu: GPUDevice | undefined;
  readonly #host: TraceEvent[] = [];
  /** Dispatches of each submit, and when the host heard that they were done. */
  readonly #dispatches: { readonly steps: readonly StampedStep[]; readonly label: string; readonly done: number }[] =
    [];
  readonly #open = new Map<GPUCommandEncoder, Open>();
  readonly #pending = new Set<Promise<void>>();

  /**
   * `stamped`: whether dispatches have times; without them there is no track of dispatches. `gpu`
   * takes them with stamps of its own; without one they come through `submitted`.
   */
  constructor(gpu: GPUDevice | undefined, stamped: boolean) {
    this.#gpu = gpu;
    this.stamped = stamped;
  }

  /** A program is about to be encoded; the first one gives its encoder's submit its name. */
  begin(encoder: GPUCommandEncoder, label: string): void {
    this.#of(encoder).label ??= label;
  }

  /** Encodes a program's dispatches, each in a pass of its own with its times. */
  encode(encoder: GPUCommandEncoder, steps: readonly Step[], label: string): void {
    const { stamps } = this.#of(encoder);
    for (const step of steps) stamps.dispatch(encoder, step, label);
  }

  /** Before `queue.submit`: the encoder is about to be finished. */
  beforeSubmit(encoder: GPUCommandEncoder): void {
    this.#of(encoder).stamps.resolve(encoder);
  }

  /** After `queue.submit`. */
  afterSubmit(encoder: GPUCommandEncoder): void {
    const { stamps, start, label = encoder.label || 'copy' } = this.#of(encoder);
    this.#open.delete(encoder);
    this.submitted(label, start / 1000, stamps.read());
  }

  /** A submit that began at `start` (performance.now()), and the times of its dispatches. */
  submitted(label: string, start: number, times: Promise<readonly StampedStep[]>): void {
    this.#add('submit', label, 1000 * start);
    const read = times.then(
      (steps) => void (steps.length > 0 && this.#dispatches.push({ steps, label, done: microseconds() })),
      () => {}, // the device was lost or disposed before; what was read until then stays
    );
    this.#pending.add(read);
    void read.finally(() => this.#pending.delete(read));
  }

  /** A stage, or a read-back, that began at `start` (performance.now()) and ends now. */
  span(cat: 'stage' | 'readback', name: string, start: number): void {
    this.#add(cat, name, 1000 * start);
  }

  /** Resolves when the times of all dispatches so far are known. */
  async settled(): Promise<void> {
    await Promise.all(this.#pending);
  }

  /** The trace as an object to be written as JSON. */
  toJSON(): { traceEvents: readonly object[]; displayTimeUnit: 'ms' } {
    const names = [
      { name: 'process_name', ph: 'M', pid: HOST, args: { name: 'host' } },
      { name: 'process_name', ph: 'M', pid: GPU, args: { name: this.stamped ? 'GPU' : 'GPU: no timestamp-query' } },
      ...TRACKS.map(([pid, tid, , name]) => ({ name: 'thread_name', ph: 'M', pid, tid, args: { name } })),
    ];
    return { traceEvents: [...names, ...this.#host, ...this.#gpuEvents()], displayTimeUnit: 'ms' };
  }

  /**
   * The GPU's clock counts from a time of its own. The host hears of a submit after its last
   * dispatch has ended, never before: the smallest such difference is taken for the distance of the
   * clocks.
   */
  #gpuEvents(): TraceEvent[] {
    const us = (ns: bigint): number => Number(ns) / 1000;
    const shift = this.#dispatches.reduce(
      (least, { steps, done }) => Math.min(least, done - us(steps.at(-1)!.end)),
      Infinity,
    );
    return this.#dispatches.flatMap(({ steps, label }) =>
      steps.map(({ step: { shader, overrides, x, y, z }, begin, end }): TraceEvent => {
        const args = { program: label, grid: [x, y, z], overrides };
        const ts = us(begin) + shift;
        return { name: shader.name, cat: 'dispatch', ph: 'X', ts, dur: us(end - begin), pid: GPU, tid: 1, args };
      }),
    );
  }

  #of(encoder: GPUCommandEncoder): Open {
    let open = this.#open.get(encoder);
    if (!open) this.#open.set(encoder, (open = { stamps: new Stamps(this.#gpu!), start: microseconds() }));
    return open;
  }

  #add(cat: 'stage' | 'submit' | 'readback', name: string, ts: number): void {
    const [pid, tid] = TRACKS.find(([, , its]) => its === cat)!;
    const end = microseconds();
    this.#host.push({ name, cat, ph: 'X', ts, dur: end - ts, pid, tid });
    performance.measure(`bark ${cat}: ${name}`, { start: ts / 1000, end: end / 1000 });
  }
}
