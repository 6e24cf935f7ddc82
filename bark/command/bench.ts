// `bark bench`: starts the bench, which stands above this floor and so is a program of its own,
// with its arguments unread, and passes on how it ends.

import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { constants } from 'node:os';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { UnsupportedError } from '../../runtime/base/errors.ts';
import { packageProgram } from '../../runtime/host/package_root.ts';
import { host } from '../../runtime/host/platform.ts';

/** The bench's exit code; 128 and its number where a signal ended it. */
export async function runBench(given: readonly string[], signal: AbortSignal): Promise<number> {
  const place = await packageProgram('bench/run');
  const program = place && fileURLToPath(place);
  if (!program || !existsSync(program))
    throw new UnsupportedError(
      'bark bench: got no bench in this package, expected bench/run.js in its dist. Build it with npm run build.',
    );
  const args = [...launch(program), program, ...given];
  try {
    return await new Promise<number>((resolve, reject) => {
      const child = spawn(process.execPath, args, { stdio: 'inherit' });
      const stop = (): void => void child.kill('SIGTERM');
      signal.addEventListener('abort', stop, { once: true });
      if (signal.aborted) stop();
      child.on('error', reject);
      child.on('exit', (code, by) => {
        signal.removeEventListener('abort', stop);
        resolve(code ?? 128 + (by ? constants.signals[by] : 0));
      });
    });
  } catch (cause) {
    const { code, name } = cause as NodeJS.ErrnoException;
    throw new UnsupportedError(
      `bark bench: got ${code ?? name} while starting ${program}, expected to run it as a program of its own. ${host === 'deno' ? 'Allow that with --allow-run, or -A.' : 'Run it yourself with node.'}`,
      { cause },
    );
  }
}

/** What the host needs before a program's path. */
function launch(program: string): string[] {
  if (host === 'deno') return ['run', '-A'];
  return program.endsWith('.ts') ? ['--import', pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href] : [];
}
