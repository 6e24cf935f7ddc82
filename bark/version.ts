// The version of this package, read from its package.json: for the command, which reports it.

import { readFile } from 'node:fs/promises';

// From the sources or a chunk in dist/, and from a bundle in dist/bark/.
const PLACES = ['../package.json', '../../package.json'];

export async function packageVersion(): Promise<string> {
  for (const place of PLACES) {
    const json = await readFile(new URL(place, import.meta.url), 'utf8').catch(() => '{}');
    const { name, version } = JSON.parse(json) as { name?: string; version?: string };
    if (name === 'bark-webgpu' && version) return version;
  }
  return 'unknown';
}
