// The test runner: finds test/**/*.test.ts, runs each with uvu in child processes (run_worker.ts)
// and adds up what they report.
//
//   node --import tsx test/run.ts [--quick] [--profile <name>] [filter …]      a filter is a part of a file's path
//
// A file says itself what it needs (needs.ts). Those that need a GPU, or a driver that plays one,
// run one after the other, once on each profile that they name and this machine has (profiles.ts).
// Those that need none, and then those on a processor's profiles, run beside them. Any file also runs alone: npx tsx test/<name>.test.ts.

import { fork, type ChildProcess } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { dirname, join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { profilesOf } from './needs.ts';
import { isProcessor, isProfileName, profileAdapter, PROFILES, type Launch, type ProfileName } from './profiles.ts';

const HERE = dirname(fileURLToPath(import.meta.url));
const FILE_SECONDS = 240;
const DEFAULT: ProfileName = 'default';

export interface FileReport {
  passed: number;
  failed: number;
  skipped: number;
  seconds: number;
  /** All that the file and uvu wrote to standard output. */
  printed: string;
}

export type FromWorker = { kind: 'start'; file: string } | { kind: 'done'; file: string; report: FileReport };

interface Lane {
  readonly label: string;
  readonly launch?: Launch;
  readonly files: readonly string[];
}

interface Result extends FileReport {
  readonly name: string;
}

const results: Result[] = [];
const children = new Set<ChildProcess>();

function record(lane: Lane, file: string, report: FileReport): void {
  const name = `${relative(HERE, file)
    .split(sep)
    .join('/')
    .replace(/\.test\.ts$/, '')}${lane.label ? ` [${lane.label}]` : ''}`;
  results.push({ name, ...report });
  const skipped = report.skipped ? `, ${report.skipped} skipped` : '';
  console.log(
    `${report.failed ? 'FAIL' : 'ok  '} ${name}: ${report.passed} passed${report.failed ? `, ${report.failed} failed` : ''}${skipped} (${report.seconds.toFixed(1)} s)`,
  );
  if (report.failed) console.log(`${report.printed.trimEnd()}\n`);
  else
    for (const line of report.printed.split('\n'))
      if (/^\s*skip(?!ped: +\d)/i.test(line)) console.log(`     ${line.trim()}`);
}

/**
 * One child over these files; resolves with those it did not come to, because it crashed or hung in
 * one.
 */
function runChild(lane: Lane, files: readonly string[]): Promise<string[]> {
  return new Promise((resolve) => {
    const child = fork(join(HERE, 'run_worker.ts'), files, {
      execPath: lane.launch?.node ?? process.execPath,
      execArgv: ['--import', 'tsx'],
      env: { ...process.env, BARK_TUNING: 'off', ...lane.launch?.env },
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    });
    children.add(child);
    const left = [...files];
    let current: string | undefined;
    let started = Date.now();
    let said = '';
    let timer: NodeJS.Timeout | undefined;
    let hung = false;
    for (const stream of [child.stdout!, child.stderr!])
      stream.setEncoding('utf8').on('data', (text: string) => (said = (said + text).slice(-8000)));
    child.on('message', (message: FromWorker) => {
      clearTimeout(timer);
      if (message.kind === 'start') {
        [current, started, said] = [message.file, Date.now(), ''];
        timer = setTimeout(() => ((hung = true), child.kill('SIGKILL')), FILE_SECONDS * 1000);
      } else {
        left.splice(left.indexOf(message.file), 1);
        current = undefined;
        record(lane, message.file, message.report);
      }
    });
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      children.delete(child);
      // none is current where the child died before its first file
      const lost = current ?? (left.length ? left[0] : undefined);
      if (lost) {
        left.splice(left.indexOf(lost), 1);
        const why = hung
          ? `no end after ${FILE_SECONDS} s`
          : `the process ended in the middle (${signal ?? `exit code ${code}`})`;
        record(lane, lost, {
          passed: 0,
          failed: 1,
          skipped: 0,
          seconds: (Date.now() - started) / 1000,
          printed: `${said}\n${why}`,
        });
      }
      resolve(left);
    });
  });
}

async function runLane(lane: Lane): Promise<void> {
  for (let files: readonly string[] = lane.files; files.length;) files = await runChild(lane, files);
}

function findTests(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true })
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap((entry) =>
      entry.isDirectory()
        ? findTests(join(folder, entry.name))
        : entry.name.endsWith('.test.ts')
          ? [join(folder, entry.name)]
          : [],
    );
}

const { values, positionals } = parseArgs({
  options: { quick: { type: 'boolean' }, profile: { type: 'string' } },
  allowPositionals: true,
});
if (values.profile && !isProfileName(values.profile)) {
  console.error(`--profile: got '${values.profile}', expected one of ${Object.keys(PROFILES).join(', ')}.`);
  process.exit(2);
}

const inTest = (file: string): string => relative(HERE, file).split(sep).join('/');
const files = findTests(HERE).filter(
  (file) => positionals.length === 0 || positionals.some((part) => `test/${inTest(file)}`.includes(part)),
);
if (files.length === 0) {
  console.error(`got no test file with '${positionals.join("' or '")}' in its path, expected one under test/.`);
  process.exit(2);
}

const needs = new Map(files.map((file) => [file, profilesOf(file)]));
const cpu = files.filter((file) => needs.get(file)!.length === 0);
const gpu = files.filter((file) => needs.get(file)!.length > 0);
const lanes: Lane[] = [];
const notes: string[] = [];
for (const name of Object.keys(PROFILES) as ProfileName[]) {
  if (values.profile ? values.profile !== name : values.quick && name !== DEFAULT && name !== 'wasm') continue;
  // A profile that is asked for runs what any adapter can; a processor runs what says so.
  const all = values.profile && !isProcessor(name);
  const chosen = all ? gpu : gpu.filter((file) => needs.get(file)!.includes(name));
  if (chosen.length === 0) continue;
  const found = profileAdapter(name);
  const setup = `npm run setup${PROFILES[name].setupFlag ? ` -- ${PROFILES[name].setupFlag}` : ''}`;
  if (found) {
    console.log(`${name}: ${found.adapter.description || found.adapter.device}`);
    lanes.push({ label: name, launch: found.launch, files: chosen });
  } else if (name === DEFAULT || values.profile) {
    console.error(
      `${name}: no WebGPU adapter. '${setup}' installs a software one on Debian${name === DEFAULT ? ' and Ubuntu' : ''}.`,
    );
    process.exit(1);
  } else notes.push(`${name}: not on this machine, so kernels were not tested with it ('${setup}' adds it on Debian)`);
}

const start = Date.now();
process.on('exit', () => children.forEach((child) => child.kill('SIGKILL')));
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(130));

const inTurn = async (some: readonly Lane[]): Promise<void> => {
  for (const lane of some) await runLane(lane);
};
const ofProcessors = ({ label }: Lane): boolean => isProfileName(label) && isProcessor(label);
await Promise.all([
  inTurn([{ label: '', files: cpu }, ...lanes.filter(ofProcessors)]),
  inTurn(lanes.filter((lane) => !ofProcessors(lane))),
]);

const sum = (key: 'passed' | 'failed' | 'skipped'): number => results.reduce((total, result) => total + result[key], 0);
const slowest = [...results]
  .sort((a, b) => b.seconds - a.seconds)
  .slice(0, 5)
  .filter((result) => result.seconds >= 1);
const failed = results.filter((result) => result.failed);
console.log('');
if (slowest.length)
  console.log(`slowest: ${slowest.map((result) => `${result.name} ${result.seconds.toFixed(1)} s`).join(', ')}`);
for (const note of notes) console.log(note);
if (failed.length) console.log(`failed: ${failed.map((result) => result.name).join(', ')}`);
console.log(`${results.length} runs of ${files.length} files in ${((Date.now() - start) / 1000).toFixed(0)} s`);
console.log(`${sum('passed')} passed, ${sum('failed')} failed${sum('skipped') ? `, ${sum('skipped')} skipped` : ''}`);
process.exit(failed.length ? 1 : 0);
