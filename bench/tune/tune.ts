// `--tune`: times what there is to choose between on the adapter at hand, and has
// runtime/compute/tuning_file.ts remember what beat the defaults. One choice after the other, each
// with those before it settled; a variant's time counts only when its results are the default's. It
// ends in time: a compiler that takes seconds for a shader is waited for no longer than the budget
// lasts, and what was not measured keeps its default.

import { checkSubgroupMatrix } from '../../kernels/self_check.ts';
import { Device } from '../../runtime/compute/device.ts';
import { record, type Program } from '../../runtime/compute/program.ts';
import { rememberTuning, tuningPlace, type Tuning } from '../../runtime/compute/tuning_file.ts';
import { packageVersion } from '../../runtime/host/version.ts';
import { readOutput } from '../cases/case.ts';
import { basisMs, clocked, measure, variantOf } from '../measure/gpu_time.ts';
import { rounded } from '../measure/harness.ts';
import { KNOBS, type Knob, type TuneCase } from './tune_cases.ts';
import { planned, poison, difference, reason } from './plan.ts';
import { expectTime, inTime } from './deadline.ts';

type Value = string | number;

export interface Candidate {
  readonly value: Value;
  /** Of all cases together, on the basis of `basisMs`; null where it was not timed. */
  readonly ms: number | null;
  /** The default's time over this one's: the geometric mean over the cases. */
  readonly speedup: number | null;
  /** Why it was not timed, or not chosen although it was fast. */
  readonly note: string | null;
}

/** One line of `--json`. */
export interface Tuned {
  readonly suite: 'tune';
  readonly model: string;
  readonly layers: number;
  readonly adapter: string;
  readonly dtype: 'float16';
  readonly variant: string;
  readonly version: string;
  readonly file: string;
  readonly knob: string;
  readonly default: Value;
  readonly chosen: Value;
  /** Of what was chosen. */
  readonly speedup: number;
  readonly candidates: readonly Candidate[];
}

export interface TuneOptions {
  /**
   * Nothing is begun, and no compiler waited for, after so many seconds. Default: 20, with `quick`
   * 8; what is under way then is finished.
   */
  readonly seconds?: number;
  readonly quick?: boolean;
  readonly repeats?: number;
  readonly knobs?: readonly Knob[];
}

/** A variant must take less than this of the default's time: less may be chance. */
const WIN = 0.97;
/** What is so much slower in its first run, and takes so long, is not run again. */
const HOPELESS = 0.5;
const HOPELESS_MS = 150;
const NO_ALTERNATIVE = 'no alternative here';

/**
 * Measures until all is done or time is up, remembers what was found, and gives the file it is in.
 * Throws `InputError` before any of it where nothing can be remembered.
 */
export async function tune(
  emit: (result: Tuned) => void,
  note: (text: string) => void,
  options: TuneOptions = {},
): Promise<string> {
  const { quick = false, repeats = 5, knobs = KNOBS } = options;
  const deadline = performance.now() + 1000 * (options.seconds ?? (quick ? 8 : 20));
  const file = await tuningPlace();
  const version = await packageVersion();
  let device = await Device.request({ tuning: {} });
  const { info, name: adapter } = device;
  const variant = variantOf(device);
  note(`tune: ${adapter}, about ${rounded((deadline - performance.now()) / 1000, 0)} s`);
  // The first of what is compared must be right by itself.
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
        adapter,
        dtype: 'float16',
        variant,
        version,
        file,
        knob: knob.key,
        ...measured,
      });
      if (isFaulty(device)) {
        device.dispose();
        device = await Device.request({ tuning: {} });
      }
    }
  } finally {
    device.dispose();
  }
  return rememberTuning(info, found);
}

/** A variant that the driver could not bear leaves nothing of the device to go on with. */
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
  /** Its results, and how long the first run took. */
  const tried = async (made: TuneCase, program: Program): Promise<{ outputs: ArrayLike<number>[]; ms: number }> => {
    // or results of the run before would do for those of a kernel that writes nothing
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
        // A second's wait for what is far behind would be time that others lack.
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
    // Once more, one right after the other: the machine may have been busy with something else
    // while the default ran.
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

/** How many times as fast, as a geometric mean: no case counts for more because it takes longer. */
const ratio = (base: readonly number[], times: readonly number[]): number =>
  Math.exp(sum(base.map((ms, i) => Math.log(ms / times[i]!))) / base.length);

/** For people: a line for each choice. */
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
  const widths = [0, 1].map((column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows
    .map((row) =>
      row
        .map((cell, i) => cell.padEnd(widths[i] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
