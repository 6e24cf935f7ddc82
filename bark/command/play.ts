// Plays a WAV file with what the system has: no player is part of this package. Only the command
// plays.

import { spawn } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { env } from '../../runtime/host/platform.ts';

const POWERSHELL = '(New-Object System.Media.SoundPlayer $env:BARK_PLAY).PlaySync()';

// The file's path comes last, or in BARK_PLAY.
const PLAYERS: Readonly<Partial<Record<NodeJS.Platform, readonly (readonly string[])[]>>> = {
  darwin: [['afplay']],
  win32: [['powershell.exe', '-NoProfile', '-Command', POWERSHELL]],
  linux: [
    ['pw-play'],
    ['paplay'],
    ['aplay', '-q'],
    ['ffplay', '-nodisp', '-autoexit', '-loglevel', 'error'],
    ['play', '-q'],
  ],
};
const PATIENCE = 10_000; // ms beyond the sound itself; a player without a sound device may wait for ever

/** Names of the players on this machine, in the order they are tried. */
export function players(): string[] {
  return found().map(([name]) => name!);
}

function found(): (readonly string[])[] {
  const folders = (env('PATH') ?? '').split(delimiter).filter((folder) => folder !== '');
  return (PLAYERS[process.platform] ?? PLAYERS.linux!).filter(([name]) =>
    folders.some((folder) => isProgram(join(folder, name!))),
  );
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** Plays until the end or the signal. False where no player could. */
export async function play(wav: Uint8Array, duration: number, signal: AbortSignal): Promise<boolean> {
  const candidates = found();
  if (candidates.length === 0) return false;
  const folder = await mkdtemp(join(tmpdir(), 'bark-'));
  const file = join(folder, 'speech.wav');
  try {
    await writeFile(file, wav);
    for (const command of candidates) {
      const played = await run(command, file, Math.ceil(duration * 1000) + PATIENCE, signal);
      signal.throwIfAborted();
      if (played) return true;
    }
    return false;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function run(
  [name, ...flags]: readonly string[],
  file: string,
  timeout: number,
  signal: AbortSignal,
): Promise<boolean> {
  const args = flags.includes(POWERSHELL) ? flags : [...flags, file];
  return new Promise((resolve) => {
    const child = spawn(name!, args, {
      stdio: 'ignore',
      env: { ...process.env, BARK_PLAY: file },
      signal,
      timeout,
      windowsHide: true,
    });
    child.on('error', () => resolve(false)); // an abort too; the caller asks the signal
    child.on('exit', (code) => resolve(code === 0));
  });
}
