// What the tuner compares between variants: the dispatches that they record, and their outputs.

import { Arena } from '../../runtime/compute/arena.ts';
import type { Device } from '../../runtime/compute/device.ts';
import { Recorder, type Dispatch } from '../../runtime/compute/program.ts';
import type { Shader } from '../../runtime/compute/shader.ts';
import { byteSize, type Tensor } from '../../runtime/compute/tensor.ts';
import type { TuneCase } from './tune_cases.ts';
import { OUT_OF_TIME, OutOfTime } from './deadline.ts';

/**
 * Allowed error, all outputs together and each by itself, relative to their root mean square.
 * Operands rounded to f16 cause about this much, a wrong kernel causes more.
 */
const RMS_ERROR = 2e-3;
const WORST_ERROR = 2e-2;

/** Records the dispatches as text and compiles nothing. */
class Plan extends Recorder {
  readonly steps: string[] = [];

  override dispatch(shader: Shader, { overrides, bind, grid }: Dispatch): void {
    this.steps.push(
      JSON.stringify([shader.name, overrides, grid, Object.values(bind).filter((value) => !('buffer' in value))]),
    );
  }
}

/** The dispatches of the cases as text. Two variants with the same text are the same kernels. */
export function planned(device: Device, cases: readonly TuneCase[]): string {
  const arena = new Arena(device, 'bench plan');
  const plan = new Plan(device, arena);
  try {
    for (const made of cases) made.record(plan);
    return plan.steps.join('\n');
  } catch (error) {
    return reason(error); // differs from every plan; the real recording will report the error
  } finally {
    arena.dispose();
  }
}

/** Fills a tensor with bytes 0xff, which are NaN in f16 and in f32. */
export function poison(device: Device, t: Tensor): void {
  device.write(t, new Uint8Array(byteSize(t.shape, t.dtype)).fill(0xff));
}

/**
 * Says how `got` differs from the default's output, or undefined if it does not. Elements that the
 * default leaves unwritten (NaN) must be unwritten in `got` too.
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
