// A lock between processes on one folder, safe against kill -9 and usable from Node and Deno, which
// cannot flock.
// A contender writes a file of its own, under a name that is never used again, and then looks who
// else is there: whoever sees no other live file has the lock, the others withdraw. So a dead
// holder's file is removed without a race: it can only be that one.
// A holder is dead when its process is gone, or when it has not touched its file for STALE ms of
// our watching.
import { sleep } from '../base/abort.ts';
import { makeFolder } from './make_folder.ts';

const HEARTBEAT = 1000;
const STALE = 10_000;
const LONGEST_POLL = 250;

export interface Lock {
  /** Unique to this holder; for names of files that no other holder may write. */
  readonly id: string;
  /** Whether it was taken from a holder that fell silent, but may live on and write. */
  readonly usurped: boolean;
  /** False once another process thought this one dead and took over. */
  isHeld(): Promise<boolean>;
  release(): Promise<void>;
}

export interface LockOptions {
  signal?: AbortSignal | undefined;
  /** Asked before each look; true ends the waiting without the lock. */
  until?: (() => Promise<boolean>) | undefined;
}

interface Seen {
  touched: number;
  since: number;
  looks: number;
}

/**
 * Takes the lock `name` in `folder`, which is made where it is missing; undefined when `until` came
 * true first.
 * Rejects with the signal's reason when that aborts, and with the file system's error where the
 * folder cannot be written.
 */
export async function takeLock(
  folder: string,
  name: string,
  { signal, until }: LockOptions = {},
): Promise<Lock | undefined> {
  const fs = await import('node:fs/promises');
  const { join } = await import('node:path');
  const host = await hostName();
  const id = crypto.randomUUID().replaceAll('-', '').slice(0, 16);
  const own = `${name}.${id}.lock`;
  const path = join(folder, own);
  const seen = new Map<string, Seen>();

  let usurped = false;

  async function state(file: string): Promise<'live' | 'dead' | 'silent'> {
    const stat = await fs.stat(join(folder, file)).catch(() => undefined);
    if (!stat) return 'dead'; // it withdrew or released just now
    const [pid, where] = (await fs.readFile(join(folder, file), 'utf8').catch(() => '')).split('\n');
    if (where === host && !isRunning(Number(pid))) return 'dead';
    const last = seen.get(file);
    if (!last || last.touched !== stat.mtimeMs) {
      seen.set(file, { touched: stat.mtimeMs, since: performance.now(), looks: 0 });
      return 'live';
    }
    last.looks++; // a computer that slept makes the clock jump, but not this
    return performance.now() - last.since < STALE || last.looks < STALE / LONGEST_POLL / 2 ? 'live' : 'silent';
  }

  /** The live files of others; dead ones are removed. */
  async function others(): Promise<number> {
    let live = 0;
    for (const file of await fs.readdir(folder)) {
      if (file === own || !file.startsWith(`${name}.`) || !/^[0-9a-f]{16}\.lock$/.test(file.slice(name.length + 1)))
        continue;
      const found = await state(file);
      if (found === 'live') live++;
      else await fs.rm(join(folder, file), { force: true });
      usurped ||= found === 'silent';
    }
    return live;
  }

  const remove = () => fs.rm(path, { force: true }).catch(() => {});
  await makeFolder(folder);
  for (let wait = 10; ; wait = Math.min(wait * 2, LONGEST_POLL)) {
    signal?.throwIfAborted();
    if (await until?.()) return undefined;
    if ((await others()) === 0) {
      // Written whole before it gets its name: no one reads half of it.
      const next = join(folder, `${own}.new`);
      try {
        await fs.writeFile(next, `${pid()}\n${host}\n${new Date().toISOString()}\n`, { flag: 'wx' });
        await fs.rename(next, path);
        if ((await others()) === 0) break;
        await remove();
      } catch (cause) {
        await fs.rm(next, { force: true }).catch(() => {});
        await remove();
        throw cause;
      }
    }
    await sleep(wait * (0.5 + Math.random()), signal);
  }

  const beat = setInterval(() => {
    const now = new Date();
    fs.utimes(path, now, now).catch(() => {}); // gone: isHeld tells
  }, HEARTBEAT);
  (beat as { unref?: () => void }).unref?.();
  return {
    id,
    usurped,
    isHeld: () =>
      fs.stat(path).then(
        () => true,
        () => false,
      ),
    async release() {
      clearInterval(beat);
      await remove();
    },
  };
}

const pid = () => (typeof process === 'object' ? process.pid : 0);

/**
 * This computer, and on Linux the name space that process numbers are valid in: containers can
 * share a folder and a host name.
 */
async function hostName(): Promise<string> {
  const { hostname } = await import('node:os');
  const { readlink } = await import('node:fs/promises');
  let name: string;
  try {
    name = hostname();
  } catch {
    name = crypto.randomUUID(); // Deno without the permission: the heartbeat has to do
  }
  return `${name} ${await readlink('/proc/self/ns/pid').catch(() => '')}`.trim();
}

/** Errs towards true: the heartbeat decides then. */
function isRunning(other: number): boolean {
  if (!Number.isSafeInteger(other) || other <= 0) return true;
  try {
    process.kill(other, 0);
    return true;
  } catch (cause) {
    return (cause as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}
