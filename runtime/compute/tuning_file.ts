// What `bark bench --tune` measured best, by adapter and version of this package, in one small file
// of the user. Device.request reads it, the bench writes it; what the choices mean is the matter of
// kernels/common/choices.ts. Speed may hang on this file and nothing else: one that is missing,
// damaged or another program's is as none. A browser has none: there a page passes `tuning` to
// Device.request.

import { InputError } from '../base/errors.ts';
import { writeFile } from '../host/write_file.ts';
import { takeLock } from '../host/lock.ts';
import { makeFolder } from '../host/make_folder.ts';
import { env, host } from '../host/platform.ts';
import { packageVersion } from '../host/version.ts';

/** Choices by name; what they mean is the kernels' matter. */
export type Tuning = Readonly<Record<string, string | number>>;

/**
 * What an adapter says about itself; its description names the driver, and with another driver
 * everything is to be measured again.
 */
export type AdapterIdentity = Pick<GPUAdapterInfo, 'vendor' | 'architecture' | 'device' | 'description'>;

export interface Measured {
  /** Only what beat the default. */
  readonly tuning: Tuning;
  /** Day and time, ISO 8601. */
  readonly date: string;
  readonly file: string;
}

interface Entry {
  readonly adapter: AdapterIdentity & { readonly host: string };
  readonly version: string;
  readonly date: string;
  readonly tuning: Tuning;
}

const FORMAT = 'bark-webgpu tuning 1';
const MOST_BYTES = 1 << 20;
const MOST_ENTRIES = 64;

/**
 * The file's path: BARK_TUNING, else in the user's cache folder. Undefined in a browser, with
 * BARK_TUNING=off, and where there is no home.
 */
export async function tuningFile(): Promise<string | undefined> {
  const given = env('BARK_TUNING')?.trim();
  if (host === 'browser' || given === 'off') return undefined;
  const { join, resolve } = await import('node:path');
  if (given) return resolve(given);
  const cache = await userCache(join);
  return cache && join(cache, 'bark-webgpu', 'tuning.json');
}

async function userCache(join: (...parts: string[]) => string): Promise<string | undefined> {
  const given = env('XDG_CACHE_HOME');
  if (given?.startsWith('/')) return given; // a relative one is to be ignored, says the XDG specification
  if (process.platform === 'win32' && env('LOCALAPPDATA')) return env('LOCALAPPDATA');
  try {
    const home = env('HOME') || (await import('node:os')).homedir();
    return process.platform === 'darwin'
      ? join(home, 'Library', 'Caches')
      : process.platform === 'win32'
        ? join(home, 'AppData', 'Local')
        : join(home, '.cache');
  } catch {
    return undefined; // Deno without the permission, or a user whom the system does not know
  }
}

/**
 * What was measured on this adapter with this version of the package and this host; undefined for
 * nothing. Never throws.
 */
export async function findTuning(info: AdapterIdentity): Promise<Measured | undefined> {
  try {
    const file = await tuningFile();
    if (!file || !(await mayRead(file))) return undefined;
    const entries = await readEntries(file);
    const wanted = entries?.length ? keyOf(identity(info), await packageVersion()) : '';
    const found = entries?.find(({ adapter, version }) => keyOf(adapter, version) === wanted);
    return found && { tuning: found.tuning, date: found.date, file };
  } catch {
    return undefined;
  }
}

/** See `findTuning`; what a device uses unless it is told otherwise. */
export const rememberedTuning = async (info: AdapterIdentity): Promise<Tuning> =>
  (await findTuning(info))?.tuning ?? {};

/**
 * Where `rememberTuning` will write. Throws `InputError` where it cannot: better before a
 * measurement than after it.
 */
export async function tuningPlace(): Promise<string> {
  const file = await tuningFile();
  if (!file)
    throw new InputError(
      `BARK_TUNING: got ${env('BARK_TUNING') || 'nothing, and no home folder'}, expected a file to remember what is measured. ${env('BARK_TUNING') ? 'Unset it, or name a file.' : 'Set it to the path of one.'}`,
    );
  const fs = await import('node:fs/promises');
  const { dirname } = await import('node:path');
  const folder = dirname(file);
  try {
    await makeFolder(folder);
    await fs.access(folder, fs.constants.W_OK);
  } catch (cause) {
    throw unwritable(folder, cause);
  }
  const found = await fs.stat(file).catch(() => undefined);
  if (found && (!found.isFile() || (found.size > 0 && !(await readEntries(file).catch(() => undefined))))) {
    throw new InputError(
      `${file}: got something else than an earlier measurement, expected no file or one of bark bench --tune. Delete it, or name another file in BARK_TUNING.`,
    );
  }
  return file;
}

/**
 * Remembers this for the adapter, next to what the file has of others; two processes may do so at
 * once. Gives the file's path; throws `InputError` where it cannot be written.
 */
export async function rememberTuning(info: AdapterIdentity, tuning: Tuning): Promise<string> {
  const file = await tuningPlace();
  const { basename, dirname } = await import('node:path');
  const lock = await takeLock(dirname(file), `.${basename(file)}`).catch((cause: unknown) =>
    Promise.reject(unwritable(file, cause)),
  );
  try {
    const entry: Entry = {
      adapter: identity(info),
      version: await packageVersion(),
      date: new Date().toISOString(),
      tuning,
    };
    const others = ((await readEntries(file).catch(() => undefined)) ?? []).filter(
      ({ adapter, version }) => keyOf(adapter, version) !== keyOf(entry.adapter, entry.version),
    );
    const text = `${JSON.stringify({ format: FORMAT, measured: [entry, ...others].slice(0, MOST_ENTRIES) }, null, 2)}\n`;
    await writeFile(file, new TextEncoder().encode(text));
    return file;
  } finally {
    await lock?.release();
  }
}

const unwritable = (path: string, cause: unknown): InputError =>
  new InputError(
    `${path}: got ${(cause as NodeJS.ErrnoException).code ?? String(cause)}, expected a place that can be written. Check its permissions, or name another file in BARK_TUNING.`,
    { cause },
  );

const identity = ({ vendor, architecture, device, description }: AdapterIdentity): Entry['adapter'] => ({
  vendor,
  architecture,
  device,
  description,
  host,
});

const keyOf = ({ vendor, architecture, device, description, host }: Entry['adapter'], version: string): string =>
  JSON.stringify([vendor, architecture, device, description, host, version]);

/**
 * The file's entries; undefined for a file that is not ours. What is wrong with one entry costs
 * only that one.
 */
async function readEntries(file: string): Promise<Entry[] | undefined> {
  const fs = await import('node:fs/promises');
  const found = await fs.stat(file);
  if (!found.isFile() || found.size > MOST_BYTES) return undefined; // a pipe would keep whoever reads it waiting
  const content = JSON.parse(await fs.readFile(file, 'utf8')) as { format?: unknown; measured?: unknown } | null;
  return content?.format === FORMAT && Array.isArray(content.measured) ? content.measured.filter(isEntry) : undefined;
}

function isEntry(value: unknown): value is Entry {
  const { adapter, version, date, tuning } = (value ?? {}) as Partial<Entry>;
  const texts = [
    adapter?.vendor,
    adapter?.architecture,
    adapter?.device,
    adapter?.description,
    adapter?.host,
    version,
    date,
  ];
  return (
    texts.every((text) => typeof text === 'string') &&
    typeof tuning === 'object' &&
    tuning !== null &&
    Object.entries(tuning).every(isChoice)
  );
}

const isChoice = ([name, value]: [string, unknown]): boolean =>
  /^[a-z][a-zA-Z\d]*$/.test(name) &&
  (typeof value === 'number' || (typeof value === 'string' && /^[\w-]{1,32}$/.test(value)));

/** Deno would stop and ask whoever sits at the terminal; this file is not worth a question. */
async function mayRead(path: string): Promise<boolean> {
  const { Deno } = globalThis as {
    Deno?: { permissions: { query(what: { name: 'read'; path: string }): Promise<{ state: string }> } };
  };
  return !Deno || (await Deno.permissions.query({ name: 'read', path })).state === 'granted';
}
