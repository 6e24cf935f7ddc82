// `--tune`: times the variants of each kernel choice on the adapter at hand and stores those that
// beat the defaults (runtime/compute/tuning_file.ts). Choices are tuned one after the other, each
// with the earlier ones already made. A variant is timed only if its outputs equal the default's.
// There is a time limit: slow compilers are not waited for after it, and a choice that was not
// measured keeps its default.

import { checkSubgroupMatrix } from '../../kernels/self_check.ts';
import type { Device } from '../../runtime/compute/device.ts';
import { record, type Program } from '../../runtime/compute/program.ts';
import { rememberTuning, tuningPlace, type Tuning } from '../../runtime/compute/tuning_file.ts';
import { packageVersion } from '../../runtime/host/version.ts';
import { readOutput } from '../cases/case.ts';
import { basisMs, clocked, measure, variantOf } from '../measure/gpu_time.ts';
import { aligned, rounded } from '../measure/harness.ts';
import { machineOf, requestDevice, type Asked } from '../measure/machine.ts';
import { KNOBS, type Knob, type TuneCase } from './tune_cases.ts';
import { planned, poison, difference, reason } from './plan.ts';
import { expectTime, inTime } from './deadline.ts';

type Value = string | number;

interface Candidate {
  readonly value: Value;
  /** Milliseconds of all cases together, as `basisMs` counts them; null if not timed. */
  readonly ms: number | null;
  /** The default's time divided by this one's, the geometric mean over the cases. */
  readonly speedup: number | null;
  /** Why it was not timed, or why it was not chosen although it was fast. */
  readonly note: string | null;
}

/** One line of `--json`. */
export interface Tuned {
  readonly suite: 'tune';
  readonly model: string;
  readonly layers: number;
  readonly adapter: string;
  readonly backend: string;
  readonly threads: number | null;
  readonly cpu: string;
  readonly dtype: 'float16';
  readonly variant: string;
  readonly version: string;
  readonly file: string;
  readonly knob: string;
  readonly default: Value;
  readonly chosen: Value;
  /** Speedup of the chosen value over the default. */
  readonly speedup: number;
  readonly candidates: readonly Candidate[];
}

export interface TuneOptions extends Asked {
  /**
   * Time limit in seconds: after it no measurement is begun, but a running one is finished.
   * Default:
   * 20, with `quick` 8.
   */
  readonly seconds?: number;
  readonly quick?: boolean;
  readonly repeats?: number;
  readonly knobs?: readonly Knob[];
}

/**
 * A variant must take less than this fraction of the default's time; a smaller gain may be chance.
 */
const WIN = 0.97;
/**
 * A variant whose first run has a lower speedup than this, and takes longer than this, is not
 * rerun.
 */
const HOPELESS = 0.5;
const HOPELESS_MS = 150;
const NO_ALTERNATIVE = 'no alternative here';

/**
 * Tunes every choice, or as many as the time limit allows, and returns the file that the result is
 * stored in. Throws `InputError` at the start if nothing can be stored.
 */
export async function tune(
  emit: (result: Tuned) => void,
  note: (text: string) => void,
  options: TuneOptions = {},
): Promise<string> {
  const { quick = false, repeats = 5, knobs = KNOBS, ...asked } = options;
  const deadline = performance.now() + 1000 * (options.seconds ?? (quick ? 8 : 20));
  const file = await tuningPlace();
  const version = await packageVersion();
  let device = await requestDevice(asked, { tuning: {} });
  const { info } = device;
  const machine = machineOf(device);
  const variant = variantOf(device);
  note(`tune: ${machine.adapter}, about ${rounded((deadline - performance.now()) / 1000, 0)} s`);
  // The default is what others are compared with, so it must be right itself.
  const slower = await checkSubgroupMatrix(device);
  if (slower) note(`tune: ${slower}`);
  let found: Tuning = device.tuning;
  try {
    for (const knob of knobs) {
      device.tuning = found;
      const measured = await tuneOne(device, knob, { repeats, deadline });
      if (measured.chosen !== measured.default) found = { ...found, [knob.key]: measured.chosen };
      emit({
        suite: 'tune',
        model: 'small, large',
        layers: 1,
        ...machine,
        dtype: 'float16',
        variant,
        version,
        file,
        knob: knob.key,
        ...measured,
      });
      if (isFaulty(device)) {
        device.dispose();
        device = await requestDevice(asked, { tuning: {} });
      }
    }
  } finally {
    device.dispose();
  }
  return rememberTuning(info, found);
}

/** Whether a variant has broken the device, so that a new one is needed. */
function isFaulty(device: Device): boolean {
  try {
    device.check();
    return false;
  } catch {
    return true;
  }
}

interface Settings {
  readonly repeats: number;
  readonly deadline: number;
}

type Found = Pick<Tuned, 'default' | 'chosen' | 'speedup' | 'candidates'>;

async function tuneOne(device: Device, knob: Knob, { repeats, deadline }: Settings): Promise<Found> {
  const owner = { name: 'bench tune' };
  const settled = device.tuning;
  const standard = knob.current(device);
  const programs: Program[] = [];
  const candidates: Candidate[] = [];
  const left = (value: Value, why: string): void => void candidates.push({ value, ms: null, speedup: null, note: why });
  const result = (chosen: Value = standard, speedup = 1): Found => ({
    default: standard,
    chosen,
    speedup: rounded(speedup, 3),
    candidates,
  });

  const compiled = async (made: TuneCase): Promise<Program> => {
    const program = await inTime(
      record(device, (r) => made.record(r), { label: knob.key }),
      deadline,
    );
    programs.push(program);
    return program;
  };
  const timed = async (all: readonly Program[]): Promise<number[]> => {
    const times: number[] = [];
    for (const program of all)
      times.push(basisMs(device, await measure(device, (n) => program.run(n), { repeats, budgetMs: 500 })));
    return times;
  };
  /** Runs a program once; its outputs and the milliseconds of that first run. */
  const tried = async (made: TuneCase, program: Program): Promise<{ outputs: ArrayLike<number>[]; ms: number }> => {
    // otherwise a kernel that writes nothing would pass with the outputs of the run before
    made.outputs.forEach((t) => poison(device, t));
    await device.settle();
    const ms = basisMs(device, { ...(await clocked(device, () => program.run())), gpuMs: null });
    const outputs: ArrayLike<number>[] = [];
    for (const t of made.outputs) outputs.push(await readOutput(device, t));
    return { outputs, ms };
  };

  try {
    const cases: TuneCase[] = [];
    const own: Program[] = [];
    const expected: ArrayLike<number>[][] = [];
    const others: Value[] = [];
    try {
      expectTime(deadline);
      for (const make of knob.cases(device)) cases.push(make(device, owner));
      const plan = planned(device, cases);
      for (const value of knob.values(device)) {
        device.tuning = { ...settled, [knob.key]: value };
        if (value === standard) continue;
        if (knob.current(device) === value && planned(device, cases) !== plan) others.push(value);
        else left(value, 'the same kernels');
      }
      device.tuning = settled;
      if (others.length === 0) {
        left(standard, NO_ALTERNATIVE);
        return result();
      }
      for (const made of cases) {
        const program = await compiled(made);
        own.push(program);
        expected.push((await tried(made, program)).outputs);
      }
    } catch (error) {
      left(standard, reason(error));
      return result();
    }
    let base = await timed(own);
    candidates.unshift({ value: standard, ms: rounded(sum(base), 4), speedup: 1, note: null });

    let best: { value: Value; programs: Program[]; speedup: number } | undefined;
    for (const value of others) {
      device.tuning = { ...settled, [knob.key]: value };
      try {
        expectTime(deadline);
        const its: Program[] = [];
        const first: number[] = [];
        for (const [i, made] of cases.entries()) {
          const program = await compiled(made);
          its.push(program);
          const { outputs, ms } = await tried(made, program);
          first.push(ms);
          const wrong = outputs
            .map((values, o) => difference(expected[i]![o]!, values, made.outputs[o]!))
            .find((text) => text !== undefined);
          if (wrong) throw new Error(`wrong: ${wrong}`);
        }
        // A variant that is far behind is not measured again, to leave the time to the others.
        const hopeless = sum(first) > HOPELESS_MS && ratio(base, first) < HOPELESS;
        const times = hopeless ? first : await timed(its);
        const speedup = ratio(base, times);
        candidates.push({
          value,
          ms: rounded(sum(times), 4),
          speedup: rounded(speedup, 3),
          note: hopeless ? 'first run only, compiling included where drivers put it off' : null,
        });
        if (speedup > (best?.speedup ?? 1 / WIN)) best = { value, programs: its, speedup };
      } catch (error) {
        left(value, reason(error));
        if (isFaulty(device)) return result();
      }
    }
    if (!best) return result();
    // Both are timed again in turn: the machine may have been busy while the default ran.
    base = await timed(own);
    const speedup = Math.min(best.speedup, ratio(base, await timed(best.programs)));
    if (speedup > 1 / WIN) return result(best.value, speedup);
    const at = candidates.findIndex(({ value }) => value === best!.value);
    candidates[at] = { ...candidates[at]!, note: `no faster the second time (${rounded(speedup, 3)})` };
    return result();
  } finally {
    device.tuning = settled;
    programs.forEach((program) => program.dispose());
    device.destroyOwned(owner);
  }
}

const sum = (times: readonly number[]): number => times.reduce((a, b) => a + b, 0);

/** Speedup as a geometric mean, so that long cases do not count for more. */
const ratio = (base: readonly number[], times: readonly number[]): number =>
  Math.exp(sum(base.map((ms, i) => Math.log(ms / times[i]!))) / base.length);

/** The printed table: a line for each choice. */
export function tuneTable(results: readonly Tuned[]): string {
  const told = ({ value, ms, note }: Candidate): string =>
    `${value}: ${[ms === null ? [] : `${ms} ms`, note ?? []].flat().join(', ')}`;
  const measured = ({ candidates }: Tuned): string =>
    candidates.some(({ note }) => note === NO_ALTERNATIVE) ? NO_ALTERNATIVE : candidates.map(told).join(' · ');
  const rows = [
    ['choice', 'chosen', 'measured'],
    ...results.map((r) => [
      r.knob,
      r.chosen === r.default ? `${r.chosen}` : `${r.chosen} (${rounded(r.speedup, 2)} × ${r.default})`,
      measured(r),
    ]),
  ];
  return aligned(rows);
}
