// The version of this package, read from its package.json: for reports, and for what was measured with one version only. A browser has no such file.

// From the sources or a chunk in dist/, and from a bundle in a folder of it.
const PLACES = ['../package.json', '../../package.json'];

let version: Promise<string> | undefined;

/** 'unknown' where the code was bundled into another program. */
export const packageVersion = (): Promise<string> => (version ??= readVersion());

async function readVersion(): Promise<string> {
  const { readFile } = await import('node:fs/promises');
  for (const place of PLACES) {
    const json = await readFile(new URL(place, import.meta.url), 'utf8').catch(() => '{}');
    const { name, version } = JSON.parse(json) as { name?: string; version?: string };
    if (name === 'bark-webgpu' && version) return version;
  }
  return 'unknown';
}
