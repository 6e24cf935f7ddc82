// Runs files through the fuzzer's reader in its own process and compares what it says.

import * as assert from 'uvu/assert';
import type { File } from './attack_files.ts';
import type { Fuzzer } from './fuzzer.ts';

/** What a reader made of each file: an error's class and message, or a description. */
export async function outcomes(
  fuzzer: Fuzzer,
  format: string,
  files: readonly (readonly [string, Uint8Array, ...unknown[]])[],
): Promise<string[]> {
  const { results } = await fuzzer.run({
    format,
    seed: 0,
    from: 0,
    to: files.length,
    files: files.map(([name, bytes]) => ({ name, bytes })),
  });
  return results;
}

/**
 * Fails unless each file's outcome matches its expression, and no message has an escape character.
 */
export async function expectAll(fuzzer: Fuzzer, format: string, files: readonly File[]): Promise<void> {
  const results = await outcomes(fuzzer, format, files);
  const wrong = files.flatMap(([name, , expected], i) =>
    expected.test(results[i] ?? '') && !/\u001b/.test(results[i]!)
      ? []
      : [`${name}: got ${results[i]?.slice(0, 300)}, expected ${expected}`],
  );
  assert.is(wrong.slice(0, 40).join('\n'), '');
}
