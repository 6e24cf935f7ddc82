#!/usr/bin/env node
// The command `bark`: reads the arguments, runs what they name, and turns whatever happens into one
// line and an exit code.
// Each command is a file of its own, loaded when it is named; the options are in arguments.ts.

import { InputError } from '../../runtime/base/errors.ts';
import { env } from '../../runtime/host/platform.ts';
import { packageVersion } from '../../runtime/host/version.ts';
import { benchArguments, deviceOptions, readArguments, type Command } from './arguments.ts';
import { Progress } from './progress.ts';
import { help } from './help.ts';
import { UsageError } from './option_table.ts';

const SIGNALS = { SIGINT: 130, SIGTERM: 143 } as const;
const GRACE = 500; // ms from an interrupt to the end, whatever the GPU is busy with
const CLEANUP = 5000; // the same where files are on their way, which are to be closed or removed

const abort = new AbortController();
let progress = new Progress(process.stderr);
let interrupted = 0;
let running: Command = 'say';

async function run(args: readonly string[]): Promise<number> {
  const bench = benchArguments(args);
  if (bench) {
    const { runBench } = await import('./bench.ts');
    return runBench(bench, abort.signal);
  }
  const given = readArguments(args);
  const { command, values } = given;
  running = command;
  progress = new Progress(process.stderr, { quiet: values.quiet ?? false });
  if (values.help || values.version) {
    await print(values.help ? `${help(command)}\n` : `${await packageVersion()}\n`);
    return 0;
  }
  if (command === 'doctor') {
    const { describe, diagnose } = await import('./doctor.ts');
    const found = await diagnose(deviceOptions(values));
    await print(values.json ? `${JSON.stringify(found)}\n` : describe(found));
    return found.ok ? 0 : 1;
  }
  const context = { progress, signal: abort.signal, print };
  if (command === 'voices') {
    const { listVoices } = await import('./voices.ts');
    await listVoices(given, context);
  } else if (command === 'convert') {
    const { convertFiles } = await import('./convert.ts');
    await convertFiles(given, context);
  } else {
    const { say } = await import('./say.ts');
    await say(given, context);
  }
  return 0;
}

function print(data: string | Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => process.stdout.write(data, (error) => (error ? reject(error) : resolve())));
}

/** The exit code of what was thrown, which is told in one line. */
function fail(error: unknown): number {
  progress.clear();
  if (interrupted) {
    if (progress.transfers('download') > 0)
      progress.say('Stopped. What has been downloaded is kept; the next time goes on from there.');
    return interrupted;
  }
  const { message, code } = error as Error & { code?: string };
  if (code === 'EPIPE') return 0; // whoever reads has had enough
  progress.fail(String(message ?? error).replace(/\s*\n\s*/g, ' '));
  if (env('BARK_DEBUG')) console.error(error);
  return error instanceof UsageError || error instanceof InputError ? 2 : 1;
}

for (const [name, code] of Object.entries(SIGNALS)) {
  process.once(name, () => {
    interrupted = code;
    progress.clear();
    abort.abort();
    const files = running === 'convert' || progress.transfers('download') > 0;
    setTimeout(() => process.exit(code), files ? CLEANUP : GRACE).unref();
  });
}
// Without a listener a closed pipe is an uncaught error; `print` hears of it too, and says so to
// whoever waits.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});

// What no one awaited must not show a stack trace either.
process.on('uncaughtException', (error) => process.exit(fail(error)));

process.exitCode = await run(process.argv.slice(2)).then((code) => interrupted || code, fail);
