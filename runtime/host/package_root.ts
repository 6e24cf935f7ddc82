// Where this package lies: the folder of its package.json. The demo voice, the bench and the
// version are found from there, wherever the code that asks was put: in the sources, in a bundle in
// dist/, or in a chunk that bundles share.

import { host } from './platform.ts';

const NAME = 'bark-webgpu';

interface PackageJson {
  readonly name: string;
  readonly version: string;
}

/** `root`: a URL that ends in a slash. */
export interface OwnPackage {
  readonly root: URL;
  readonly json: PackageJson;
}

let found: Promise<OwnPackage | undefined> | undefined;

/**
 * Undefined where this code was bundled into another program, and in a browser, which has no
 * package.json.
 */
export const ownPackage = (): Promise<OwnPackage | undefined> => (found ??= find());

async function find(): Promise<OwnPackage | undefined> {
  if (host === 'browser') return undefined;
  const { readFile } = await import('node:fs/promises');
  for (let folder = new URL('.', import.meta.url); ; folder = new URL('..', folder)) {
    const json = JSON.parse(
      await readFile(new URL('package.json', folder), 'utf8').catch(() => '{}'),
    ) as Partial<PackageJson>;
    if (json.name === NAME && json.version) return { root: folder, json: json as PackageJson };
    if (folder.pathname === new URL('..', folder).pathname) return undefined;
  }
}

/** The package's folder. In a browser the code is dist/browser/index.js of it. */
export async function packageRoot(): Promise<URL | undefined> {
  return host === 'browser' ? new URL('../../', import.meta.url) : (await ownPackage())?.root;
}

/**
 * A program of this package, from its path without an ending, such as 'bench/run': its TypeScript
 * where the sources run, else what the build made of it. Undefined where this code was bundled into
 * another program.
 */
export async function packageProgram(path: string): Promise<URL | undefined> {
  const root = await packageRoot();
  return root && (import.meta.url.endsWith('.ts') ? new URL(`${path}.ts`, root) : new URL(`dist/${path}.js`, root));
}
