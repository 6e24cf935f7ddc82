// Runs the command `bark` as it is shipped, in a process of its own.

import { spawn } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import * as assert from 'uvu/assert';
import { HOST_BUNDLES } from '../../../bark/build.ts';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));

export const DEMO = fileURLToPath(new URL('../../../bark/demo_voice/', import.meta.url));

export const folder = mkdtempSync(join(tmpdir(), 'bark-cli-'));

mkdirSync(join(ROOT, 'dist'), { recursive: true });
/** A package of its own, below the one whose node_modules it needs. */
const shipped = mkdtempSync(join(ROOT, 'dist', 'cli-'));

// Test files that run in one process share both folders, so they go when the process does.
process.on('exit', () => [folder, shipped].forEach((made) => rmSync(made, { recursive: true, force: true })));

// As it is shipped, but each program in one file: that starts in a third of the time.
const CLI = join(shipped, 'dist/bark/command/cli.js');
cpSync(join(ROOT, 'package.json'), join(shipped, 'package.json'));
mkdirSync(join(shipped, 'bark'));
symlinkSync(DEMO, join(shipped, 'bark/demo_voice'), 'junction');
await build({
  ...HOST_BUNDLES,
  entryPoints: ['bark/command/cli.ts', 'bench/run.ts'],
  outdir: join(shipped, 'dist'),
  splitting: false,
});

/** No setting of the Hub of whoever runs the tests. */
const OUTSIDE = Object.fromEntries(
  Object.entries(process.env).filter(([name]) => !/^(HF_|HUGGING|TRANSFORMERS_)/.test(name)),
);

/** A line of a JavaScript stack; Dawn prints one of its own, in C++, where it finds no driver. */
export const STACK = /^\s+at .*\.[jt]s:\d/m;

interface Result {
  code: number | null;
  stdout: Buffer;
  stderr: string;
}

interface Options {
  stdin?: string | Uint8Array;
  env?: Record<string, string>;
  started?: (kill: (signal: NodeJS.Signals) => void, closeOutput: () => void) => void;
  /** Called with standard error so far, whenever it grows. */
  watch?: (stderr: string, kill: (signal: NodeJS.Signals) => void) => void;
}

export function bark(args: string[], { stdin, env = {}, started, watch }: Options = {}): Promise<Result> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [CLI, ...args], {
      cwd: folder,
      env: { ...OUTSIDE, HF_HOME: join(folder, 'hf'), ...env },
      stdio: [stdin === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
    });
    const out: Buffer[] = [];
    let stderr = '';
    child.stdout!.on('data', (data: Buffer) => out.push(data));
    child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
      watch?.(stderr, (signal) => child.kill(signal));
    });
    started?.(
      (signal) => child.kill(signal),
      () => child.stdout!.destroy(),
    );
    child.stdin?.end(stdin);
    child.on('close', (code) => resolve({ code, stdout: Buffer.concat(out), stderr }));
  });
}

/**
 * Ends with `code` and one line of error with `message`, nothing on standard output and no stack
 * trace.
 */
export async function expectError(args: string[], code: number, message: RegExp, options?: Options): Promise<void> {
  const result = await bark(args, options);
  const name = `bark ${args.join(' ')}`;
  assert.is(result.code, code, `${name}: ${result.stderr}`);
  assert.is(result.stdout.length, 0, name);
  const errors = result.stderr.split('\n').filter((line) => line.startsWith('error: '));
  assert.is(errors.length, 1, `${name}: ${result.stderr}`);
  assert.match(errors[0]!, message);
  assert.not.match(result.stderr, STACK);
}

export function readWav(bytes: Buffer): { rate: number; samples: Int16Array } {
  assert.is(bytes.toString('latin1', 0, 4), 'RIFF');
  assert.is(bytes.readUInt32LE(4), bytes.length - 8);
  assert.is(bytes.toString('latin1', 8, 16), 'WAVEfmt ');
  assert.is(bytes.toString('latin1', 36, 40), 'data');
  assert.is(bytes.readUInt32LE(40), bytes.length - 44);
  return {
    rate: bytes.readUInt32LE(24),
    samples: new Int16Array(bytes.buffer.slice(bytes.byteOffset + 44, bytes.byteOffset + bytes.length)),
  };
}
