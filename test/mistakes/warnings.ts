// The table's sibling for what is no error: *text | what is warned of*. Each row encodes a text and
// holds its warnings to the rules for messages: one line, which text, what is wrong with it, what
// to do.

import type { Test } from 'uvu';
import * as assert from 'uvu/assert';

export interface Warned {
  /** What is wrong with the text, in words. */
  readonly mistake: string;
  readonly text: string;
  /** What one of the warnings must match; none may come where there is nothing here. */
  readonly says?: RegExp;
  /** What no warning may match. */
  readonly never?: RegExp;
}

export function testWarnings(
  test: Test,
  warningsOf: (text: string) => Promise<readonly string[]>,
  rows: readonly Warned[],
): void {
  for (const { mistake, text, says, never } of rows)
    test(`processor.encode, warned | ${mistake}`, async () => {
      const warnings = await warningsOf(text);
      const all = warnings.join('\n');
      if (says)
        assert.ok(
          warnings.some((warning) => says.test(warning)),
          `${says}: got ${all || 'no warning'}`,
        );
      else assert.equal(warnings, []);
      if (never) assert.not.match(all, never);
      for (const warning of warnings) assert.match(warning, /^Text: [^\n]{20,}[.?]$/);
    });
}
