// Calls as plain JavaScript makes them, with anything, as rows of the table of mistakes; and what
// must be as before once they are refused.

import { readdirSync } from 'node:fs';
import * as assert from 'uvu/assert';
import type { Device } from '../../runtime/compute/device.ts';
import type { Mistake } from './table.ts';

/** Calls a method with arguments that its types do not allow. */
export const call = (owner: object, method: string, ...given: unknown[]): unknown =>
  (owner as Record<string, (...given: unknown[]) => unknown>)[method]!(...given);

/** Rows of one door: the mistake, the arguments that make it, what it says, and the code. */
export const rows = (
  door: string,
  make: (...given: unknown[]) => unknown,
  list: readonly (readonly [mistake: string, given: readonly unknown[], says: RegExp, code?: string])[],
): Mistake[] =>
  list.map(([mistake, given, says, code = 'ERR_INPUT']) => ({ door, mistake, make: () => make(...given), says, code }));

const REFUSED = 200; // calls of each kind
const LATE = 300; // ms in which the host closes files and frees devices

/**
 * Makes every mistake 200 times. Open files, the device's memory and unhandled rejections must then
 * be as they were after the first time, which opens what stays open for good.
 */
export async function leavesNothing(mistakes: readonly Mistake[], device?: Device): Promise<void> {
  const unhandled: unknown[] = [];
  const note = (reason: unknown) => unhandled.push(reason);
  const refuse = async (times: number) => {
    for (const { door, mistake, make } of mistakes)
      for (let i = 0; i < times; i++) {
        let taken = true;
        try {
          await make();
        } catch {
          taken = false;
        }
        assert.not.ok(taken, `${door} | ${mistake}: nothing was thrown`);
      }
    await new Promise((resolve) => setTimeout(resolve, LATE));
    return {
      files: process.platform === 'linux' ? readdirSync('/proc/self/fd').length : 0,
      memory: device?.memory().current,
    };
  };
  process.on('unhandledRejection', note);
  try {
    const before = await refuse(1);
    assert.equal(await refuse(REFUSED), before);
    assert.equal(unhandled, []);
  } finally {
    process.off('unhandledRejection', note);
  }
}
