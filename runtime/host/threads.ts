// How many threads this process may use, and the name of the processor they run on.

import { InputError } from '../base/errors.ts';
import { env, host } from './platform.ts';

export const MOST_THREADS = 64;
/** More than these wait for the same memory; whoever wants more says so. */
const DEFAULT_MOST = 16;

/** `asked`, else BARK_THREADS, else as many as the process may use. */
export async function threadCount(asked: number | undefined): Promise<number> {
  if (asked !== undefined) return asked;
  const given = env('BARK_THREADS');
  if (given) {
    const count = Number(given);
    if (!(Number.isInteger(count) && count >= 1 && count <= MOST_THREADS))
      throw new InputError(
        `BARK_THREADS: got '${given}', expected a whole number from 1 to ${MOST_THREADS}. Set one, or unset it.`,
      );
    return count;
  }
  return Math.max(1, Math.min(DEFAULT_MOST, await available()));
}

async function available(): Promise<number> {
  if (host !== 'node') return globalThis.navigator?.hardwareConcurrency || 1;
  const { availableParallelism, cpus } = await import('node:os');
  const cores = availableParallelism?.() ?? cpus().length;
  return Math.min(cores, Math.max(1, Math.floor(await cgroupLimit())));
}

/**
 * The processors' worth of time that a container may use, which libuv does not look at before Node
 * 24: `docker run --cpus 2` leaves all cores visible. Linux: cgroup v2 cpu.max, v1 cpu.cfs_quota_us.
 */
async function cgroupLimit(): Promise<number> {
  if (process.platform !== 'linux') return Infinity;
  const { readFile } = await import('node:fs/promises');
  const read = async (file: string): Promise<string[]> =>
    (await readFile(`/sys/fs/cgroup/${file}`, 'utf8').catch(() => '')).trim().split(/\s+/);
  const [quota, period] = await read('cpu.max');
  if (quota && period) return quota === 'max' ? Infinity : Number(quota) / Number(period);
  const [old] = await read('cpu/cpu.cfs_quota_us');
  const [oldPeriod] = await read('cpu/cpu.cfs_period_us');
  return old && oldPeriod && Number(old) > 0 ? Number(old) / Number(oldPeriod) : Infinity;
}

export async function processorName(): Promise<string> {
  if (host === 'browser') return 'the processor';
  try {
    const { cpus } = await import('node:os');
    return cpus()[0]?.model.replace(/\s+/g, ' ').trim() || 'the processor';
  } catch {
    return 'the processor'; // Deno without the permission
  }
}
