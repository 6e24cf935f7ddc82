// What every command gets from cli.ts beside its arguments.

import type { Progress } from './progress.ts';

export interface CommandContext {
  /** Lines for people, on standard error. */
  progress: Progress;
  /** Aborted by Ctrl-C and by SIGTERM. */
  signal: AbortSignal;
  /** Writes to standard output; resolves when the data has been handed to the system. */
  print: (data: string | Uint8Array) => Promise<void>;
}
