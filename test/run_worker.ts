// The child that run.ts starts: runs uvu test files one after the other in one process and reports
// each over IPC, so that tsx, Dawn and the driver start once a profile and not once a file. What a
// file prints is kept with its report; a crash loses only the file it happened in.

import { pathToFileURL } from 'node:url';
import type { FileReport, FromWorker } from './run.ts';

// On a driver with a loader of its own (setup/subgroup_matrix_driver.ts) the running program is
// that loader; tests start children by this name.
process.execPath = process.env.BARK_TEST_NODE ?? process.execPath;

// uvu runs a file's suites by itself unless told to wait, and it looks when it is loaded.
const shared = globalThis as unknown as { UVU_DEFER: number; UVU_QUEUE: unknown[][]; UVU_INDEX: number };
shared.UVU_DEFER = 1;
const { exec } = (await import('uvu')) as unknown as { exec(): Promise<void> };

const send = (message: FromWorker): Promise<void> => new Promise((done) => process.send!(message, () => done()));

let printed = '';
const write = process.stdout.write.bind(process.stdout);
process.stdout.write = ((chunk: string | Uint8Array, ...rest: never[]) => {
  printed += typeof chunk === 'string' ? chunk : new TextDecoder().decode(chunk);
  return write(chunk, ...rest); // the parent shows this where no report comes
}) as typeof process.stdout.write;

/**
 * uvu prints its totals and returns nothing. A suite whose `before` throws runs none of its tests
 * and has no error: what did not pass, failed.
 */
function readTotals(text: string): Pick<FileReport, 'passed' | 'failed' | 'skipped'> {
  const plain = text.replace(/\x1b\[[0-9;]*m/g, '');
  const last = (label: string): number =>
    Number([...plain.matchAll(new RegExp(`^  ${label}:\\s+(\\d+)`, 'gm'))].at(-1)?.[1] ?? 0);
  return { passed: last('Passed'), failed: last('Total') - last('Passed'), skipped: last('Skipped') };
}

for (const file of process.argv.slice(2)) {
  await send({ kind: 'start', file });
  printed = '';
  const start = performance.now();
  let report: FileReport;
  try {
    shared.UVU_QUEUE.splice(0, Infinity, [null]);
    shared.UVU_INDEX = 0;
    await import(pathToFileURL(file).href);
    await exec();
    const totals = readTotals(printed);
    if (totals.passed + totals.failed + totals.skipped === 0) {
      totals.failed = 1;
      printed += 'no test ran: every suite needs a call of its run().\n';
    }
    report = { ...totals, printed, seconds: 0 };
  } catch (error) {
    report = {
      passed: 0,
      failed: 1,
      skipped: 0,
      printed: `${printed}${(error as Error).stack ?? String(error)}\n`,
      seconds: 0,
    };
  }
  await send({ kind: 'done', file, report: { ...report, seconds: (performance.now() - start) / 1000 } });
}
process.exit(0); // devices that a test left behind must not keep this process
