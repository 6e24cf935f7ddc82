// Where BARK_TRACE=file.json puts the trace of a process: written when a device is disposed, and
// once more when the process ends, so that Ctrl-C after some sentences loses none of them.

import { UnsupportedError } from '../../base/errors.ts';
import { env, host } from '../../host/platform.ts';
import type { Trace } from './trace.ts';

/** The file of a process; all its devices share it. */
export interface TraceFile {
  readonly traces: Trace[];
  write(): void;
}

let opened: Promise<TraceFile> | undefined;

/**
 * The file that BARK_TRACE names; undefined where it is not set, and in a browser. Throws
 * `UnsupportedError` for a path that cannot be written, before any work.
 */
export async function traceFile(): Promise<TraceFile | undefined> {
  const path = host === 'browser' ? undefined : env('BARK_TRACE');
  return path ? (opened ??= open(path)) : undefined;
}

async function open(path: string): Promise<TraceFile> {
  const { writeFileSync } = await import('node:fs');
  const traces: Trace[] = [];
  const write = (): void => {
    const traceEvents = traces.flatMap((trace) => trace.toJSON().traceEvents);
    try {
      writeFileSync(path, JSON.stringify({ traceEvents, displayTimeUnit: 'ms' }));
    } catch (cause) {
      const { code } = cause as { code?: string };
      throw new UnsupportedError(`BARK_TRACE: got ${code} for ${path}, expected a file that can be written.`, {
        cause,
      });
    }
  };
  write();
  process.on('exit', write);
  return { traces, write };
}
