// Writing a file whole or not at all, in Node and Deno. A browser has no files: there `writeFile`
// says so, and nothing of Node is loaded. Reading is in open_source.ts.

import { InputError, UnsupportedError } from '../base/errors.ts';
import { shown } from '../base/messages.ts';
import { host } from './platform.ts';

/**
 * Has `make` write a file under a temporary name beside `path`, then renames it: readers see the
 * old file or the new one, never a part. Where either fails the temporary file is removed and the
 * error is thrown as it came. Node and Deno.
 */
export async function replaceFile(path: string, make: (temporary: string) => Promise<void>): Promise<void> {
  const fs = await import('node:fs/promises');
  const { basename, dirname, join } = await import('node:path');
  const temporary = join(dirname(path), `.${basename(path).slice(0, 100)}.${crypto.randomUUID()}.tmp`);
  try {
    await make(temporary);
    await fs.rename(temporary, path);
  } catch (cause) {
    await fs.rm(temporary, { force: true }).catch(() => {});
    throw cause;
  }
}

/** Throws `InputError` for what is no path; `door` is the method that was called. */
export function checkPath(door: string, path: unknown): void {
  if ((typeof path === 'string' && path !== '') || path instanceof URL) return;
  const got = path === '' ? 'an empty path' : shown(path, 'setting');
  throw new InputError(`${door}: got ${got}, expected the path of a file, as a string or a file: URL.`);
}

/**
 * Writes bytes to a path, which `checkPath` has let pass, under a temporary name next to it, then
 * renames: readers see the old file or the new one.
 * Throws `InputError` where the folder is missing or the path cannot be written, `UnsupportedError`
 * in a browser.
 */
export async function writeFile(path: string | URL, bytes: Uint8Array): Promise<void> {
  if (host === 'browser')
    throw new UnsupportedError(
      `${path}: got a path, expected none: a browser cannot write files. Use toBlob() and offer it as a download.`,
    );
  if (path instanceof URL && path.protocol !== 'file:')
    throw new InputError(`save: got ${path.href}, expected a path or a file: URL. Write to a file first.`);
  const fs = await import('node:fs/promises');
  const { dirname } = await import('node:path');
  const asked = typeof path === 'string' ? path : (await import('node:url')).fileURLToPath(path);

  const found = await fs.stat(asked).catch(() => undefined);
  if (found?.isDirectory() || asked.endsWith('/'))
    throw new InputError(`${asked}: got a folder, expected the path of a file. Add a file name.`);
  try {
    // Devices and pipes have nothing to rename over.
    if (found && !found.isFile()) return await fs.writeFile(asked, bytes);
    const target = found ? await fs.realpath(asked) : asked;
    await replaceFile(target, (temporary) => fs.writeFile(temporary, bytes, { flag: 'wx' }));
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code ?? String(cause);
    if (code === 'ENOENT' || code === 'ENOTDIR') {
      throw new InputError(`${asked}: got no folder ${dirname(asked)}, expected one to write into. Create it first.`, {
        cause,
      });
    }
    throw new InputError(
      `${asked}: got ${code} while writing, expected a writable file. Check its permissions and the free space.`,
      { cause },
    );
  }
}
