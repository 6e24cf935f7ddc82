// The tuner's time limit. After it, no measurement is begun and no compilation is waited for.

import type { Program } from '../../runtime/compute/program.ts';

export const OUT_OF_TIME = 'no time left';

export class OutOfTime extends Error {}

/** Throws `OutOfTime` after the deadline. */
export function expectTime(deadline: number): void {
  if (performance.now() >= deadline) throw new OutOfTime();
}

/** Waits for a program until the deadline, then throws `OutOfTime`. */
export async function inTime(making: Promise<Program>, deadline: number): Promise<Program> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>(
    (_, reject) => (timer = setTimeout(() => reject(new OutOfTime()), Math.max(0, deadline - performance.now()))),
  );
  try {
    return await Promise.race([making, late]);
  } catch (error) {
    if (error instanceof OutOfTime)
      making.then(
        (program) => program.dispose(),
        () => {},
      ); // a compilation cannot be cancelled; its program is freed when it is done
    throw error;
  } finally {
    clearTimeout(timer);
  }
}
