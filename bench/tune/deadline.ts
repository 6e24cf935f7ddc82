// The end of the tuner's time: nothing new begins after it.

import type { Program } from '../../runtime/compute/program.ts';

export const OUT_OF_TIME = 'no time left';

export class OutOfTime extends Error {}

export function expectTime(deadline: number): void {
  if (performance.now() >= deadline) throw new OutOfTime();
}

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
      ); // the compiler cannot be stopped
    throw error;
  } finally {
    clearTimeout(timer);
  }
}
