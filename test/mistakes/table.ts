// The table of mistakes, *door | mistake | what it says*: each row makes one mistake at one public
// door (library, command, browser file) and holds the message to the rules for messages: an error
// of this library and not of the JavaScript engine, one line, no stack, what was got, what was
// expected.

import type { Test } from 'uvu';
import * as assert from 'uvu/assert';

export interface Mistake {
  /** The function or command as its caller writes it: 'processor.encode', 'bark --voice'. */
  readonly door: string;
  /** The mistake, in words or as it is written. */
  readonly mistake: string;
  /** Makes the mistake. */
  readonly make: () => unknown;
  /** What the message must match: the words that name what was wrong and what to do. */
  readonly says: RegExp;
  /** The error's `code`; default: ERR_INPUT. */
  readonly code?: string;
}

/** A test for each row; returns the rows. */
export function testMistakes(test: Test, rows: readonly Mistake[]): readonly Mistake[] {
  for (const { door, mistake, make, says, code = 'ERR_INPUT' } of rows)
    test(`${door} | ${mistake}`, async () => {
      let error: unknown;
      try {
        await make();
      } catch (thrown) {
        error = thrown;
      }
      assert.ok(error instanceof Error, `${door}: nothing was thrown`);
      assert.is((error as { code?: unknown }).code, code, `${error.name}: ${error.message}`);
      assert.match(error.message, says);
      assert.not.match(error.message, /\n|^\s+at |undefined is not|Cannot read/);
    });
  return rows;
}
