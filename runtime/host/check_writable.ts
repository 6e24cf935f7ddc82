// Whether a result can be written where the user wants it, checked before the work begins: better
// than after a minute of computing or a download. Node and Deno. What cannot be known in advance,
// such as the free space, is left to the writing itself.

type ErrorClass = new (message: string, options?: ErrorOptions) => Error;

/**
 * Throws a `Refused` where no file can be made at `path`: its folder is missing or read-only, or
 * `path` is itself a folder.
 */
export async function checkFileWritable(path: string, Refused: ErrorClass): Promise<void> {
  const { stat } = await import('node:fs/promises');
  const { dirname } = await import('node:path');
  const folder = dirname(path);
  const kind = await stat(folder).catch(() => undefined);
  if (!kind?.isDirectory())
    throw new Refused(`${path}: got no folder ${folder}, expected one to write into. Create it first.`);
  const old = await stat(path).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === 'ENOENT') return undefined;
    throw new Refused(`${path}: got ${cause.code} for its name, expected one that a file can have. Choose another.`, {
      cause,
    });
  });
  if (old?.isDirectory() || path.endsWith('/'))
    throw new Refused(`${path}: got a folder, expected the path of a file. Add a file name.`);
  await checkAccess(path, old && !old.isFile() ? path : folder, 'there', Refused);
}

/**
 * Throws a `Refused` where no folder can be made at `path`: the nearest parent that exists is a
 * file or read-only. Parents that are missing will be made, and `path` itself is not looked at.
 */
export async function checkFolderWritable(path: string, Refused: ErrorClass): Promise<void> {
  const { stat } = await import('node:fs/promises');
  const { dirname, resolve } = await import('node:path');
  let above = dirname(resolve(path));
  while (!(await stat(above).catch(() => undefined)) && dirname(above) !== above) above = dirname(above);
  if (!(await stat(above)).isDirectory())
    throw new Refused(`${path}: got ${above}, which is a file, expected a folder to write into. Name another.`);
  await checkAccess(path, above, `in ${above}`, Refused);
}

async function checkAccess(path: string, checked: string, where: string, Refused: ErrorClass): Promise<void> {
  const { access, constants, rm, stat, writeFile } = await import('node:fs/promises');
  const { join } = await import('node:path');
  const check = async (): Promise<void> => {
    await access(checked, constants.W_OK);
    if (!(await stat(checked)).isDirectory()) return;
    // To the administrator everything is writable, also where the file system takes no files.
    const probe = join(checked, `.${crypto.randomUUID()}.tmp`);
    await writeFile(probe, '', { flag: 'wx' });
    await rm(probe);
  };
  await check().catch((cause: NodeJS.ErrnoException) => {
    throw new Refused(
      `${path}: got ${cause.code} for writing ${where}, expected a folder that you may write into. Choose another.`,
      { cause },
    );
  });
}
