// What the tests of voices share: arrays of a preset, and the error that is expected.

import * as assert from 'uvu/assert';
import type { InputError, WeightsError } from '../../../runtime/base/errors.ts';

const counted = (count: number, size: number) => Int32Array.from({ length: count }, (_, i) => (i * 37) % size);

/** A preset that suno's rules accept: S tokens, F frames. */
export function arrays(tokens = 20, frames = 30) {
  const fine = counted(8 * frames, 1024);
  return {
    semantic_prompt: { data: counted(tokens, 10_000), shape: [tokens] },
    coarse_prompt: { data: fine.slice(0, 2 * frames), shape: [2, frames] },
    fine_prompt: { data: fine, shape: [8, frames] },
  };
}

export async function rejects(
  promise: Promise<unknown>,
  type: typeof WeightsError | typeof InputError,
  message: RegExp,
) {
  const error = await promise.then(
    () => undefined,
    (caught: Error) => caught,
  );
  assert.ok(error instanceof type && message.test(error.message), `expected ${type.name} ${message}, got ${error}`);
}
