// What the tuner compares: which dispatches a choice leads to, and whether their outputs are those
// of the default.

import { Arena } from '../../runtime/compute/arena.ts';
import type { Device } from '../../runtime/compute/device.ts';
import { Recorder, type Dispatch } from '../../runtime/compute/program.ts';
import type { Shader } from '../../runtime/compute/shader.ts';
import { byteSize, type Tensor } from '../../runtime/compute/tensor.ts';
import type { TuneCase } from './tune_cases.ts';
import { OUT_OF_TIME, OutOfTime } from './deadline.ts';

/**
 * Of the results' root mean square: half-precision operands miss this much, a wrong kernel more.
 */
const RMS_ERROR = 2e-3;
const WORST_ERROR = 2e-2;

/** Notes what is recorded, and compiles nothing. */
class Plan extends Recorder {
  readonly steps: string[] = [];

  override dispatch(shader: Shader, { overrides, bind, grid }: Dispatch): void {
    this.steps.push(
      JSON.stringify([shader.name, overrides, grid, Object.values(bind).filter((value) => !('buffer' in value))]),
    );
  }
}

/** What tells one variant from another: the dispatches that it is made of. */
export function planned(device: Device, cases: readonly TuneCase[]): string {
  const arena = new Arena(device, 'bench plan');
  const plan = new Plan(device, arena);
  try {
    for (const made of cases) made.record(plan);
    return plan.steps.join('\n');
  } catch (error) {
    return reason(error); // like no other; when it is recorded in earnest it is told
  } finally {
    arena.dispose();
  }
}

/** Every byte 0xff: a NaN, whatever it is stored as. */
export function poison(device: Device, t: Tensor): void {
  device.write(t, new Uint8Array(byteSize(t.shape, t.dtype)).fill(0xff));
}

/**
 * What is wrong with `got`, if anything is. What the default leaves unwritten must be left by
 * others as well.
 */
export function difference(expected: ArrayLike<number>, got: ArrayLike<number>, { label }: Tensor): string | undefined {
  let [squares, errors, worst, at, count] = [0, 0, 0, 0, 0];
  for (let i = 0; i < expected.length; i++) {
    const [e, g] = [expected[i]!, got[i]!];
    if (Number.isNaN(e) && Number.isNaN(g)) continue;
    const error = Math.abs(e - g);
    if (!Number.isFinite(error)) return `${label} has ${g} at ${i}, the default ${e}`;
    if (error > worst) [worst, at] = [error, i];
    squares += e * e;
    errors += error * error;
    count++;
  }
  const size = Math.sqrt(squares / Math.max(1, count));
  if (worst <= WORST_ERROR * size && Math.sqrt(errors / Math.max(1, count)) <= RMS_ERROR * size) return undefined;
  return `${label} has ${got[at]} at ${at}, the default ${expected[at]}`;
}

export const reason = (error: unknown): string =>
  error instanceof OutOfTime ? OUT_OF_TIME : ((error as Error).message ?? String(error)).split('\n')[0]!;
