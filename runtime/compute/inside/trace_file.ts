// Where BARK_TRACE=file.json puts the trace of a process: written when a device is disposed, and
// once more when the process ends, so that Ctrl-C after some sentences loses none of them.

import { UnsupportedError } from '../../base/errors.ts';
import { env, host } from '../../host/platform.ts';
import type { Trace } from './trace.ts';

/** The path that BARK_TRACE names; undefined where it is not set, and in a browser. */
export const tracePath = (): string | undefined => (host === 'browser' ? undefined : env('BARK_TRACE') || undefined);

/**
 * Writes `trace` to `path` when the function that it returns is called, and when the process ends.
 */
export async function keepTraceFile(trace: Trace, path: string): Promise<() => void> {
  const { writeFileSync } = await import('node:fs');
  const write = (): void => {
    try {
      writeFileSync(path, JSON.stringify(trace));
    } catch (cause) {
      const { code } = cause as { code?: string };
      throw new UnsupportedError(`BARK_TRACE: got ${code} for ${path}, expected a file that can be written.`, {
        cause,
      });
    }
  };
  write(); // a path that cannot be written is told before any work
  process.on('exit', write);
  return write;
}
