// Making a folder and those above it, in Node and Deno. Our own, because Node's mkdir with
// `recursive` never comes back where the system says of a folder that is there that there is none,
// as Linux does for whatever is made below /proc.

/**
 * Makes `path` and what is missing above it; gives the topmost folder that was made, undefined
 * where all were there. Throws the file system's error.
 */
export async function makeFolder(path: string): Promise<string | undefined> {
  const fs = await import('node:fs/promises');
  const { dirname, resolve } = await import('node:path');
  const isFolder = async (at: string) => (await fs.stat(at).catch(() => undefined))?.isDirectory() === true;
  const make = async (at: string): Promise<string | undefined> => {
    try {
      await fs.mkdir(at);
      return at;
    } catch (cause) {
      if (await isFolder(at)) return undefined;
      if ((cause as NodeJS.ErrnoException).code !== 'ENOENT' || dirname(at) === at) throw cause;
      const first = await make(dirname(at));
      // Once more and not until it works: the folder above is there now.
      await fs.mkdir(at).catch(async (again: unknown) => {
        if (!(await isFolder(at))) throw again; // else another process was faster
      });
      return first ?? at;
    }
  };
  return make(resolve(path));
}
