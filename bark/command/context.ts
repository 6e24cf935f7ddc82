// What every command of `bark` gets from the program that runs it.

import type { Progress } from './progress.ts';

export interface CommandContext {
  progress: Progress;
  signal: AbortSignal;
  /** Writes to standard output; resolves when it is out. */
  print: (data: string | Uint8Array) => Promise<void>;
}
