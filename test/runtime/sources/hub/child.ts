// A process of its own that fetches one file of org/name, for processes.test.ts: child.ts <cache
// folder> <path> Prints "ready" when it begins, then the file's sha256, or the error's name and
// message.

import { createHash } from 'node:crypto';
import { openModelSource } from '../../../../runtime/sources/open_source.ts';

const [cacheDir, path] = process.argv.slice(2);
console.log('ready');
try {
  const file = await (await openModelSource('org/name', { cacheDir })).open(path!);
  console.log(
    createHash('sha256')
      .update(await file.read(0, file.size))
      .digest('hex'),
  );
  await file.close();
} catch (error) {
  console.log(`${(error as Error).name}: ${(error as Error).message}`);
}
