// Fetches a Mesa whose software Vulkan driver multiplies subgroup matrices (26 and newer) together
// with the C library that it was built for, and puts them into one folder with a script that runs
// Node on them: `<folder>/node`. The system stays as it is: apt works on lists, a state and a cache
// of its own, nothing is installed, no root is needed. It does not decide whether the driver is
// wanted (driver.ts does). Reference: apt.conf(5), ld.so(8), Vulkan loader interface to drivers.

import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { suitesSource, type AptFile } from './apt_sources.ts';

/** The suites that have it; the last one is preferred. */
export const SUITES = ['trixie', 'trixie-backports'] as const;

// libstdc++ and libc are named because Node itself runs on them; the rest is what these depend on.
const PACKAGES = ['mesa-vulkan-drivers', 'libvulkan1', 'libstdc++6', 'libc6'];
const ARCHITECTURES: Partial<Record<string, { debian: string; triplet: string; loader: string }>> = {
  x64: { debian: 'amd64', triplet: 'x86_64-linux-gnu', loader: 'ld-linux-x86-64.so.2' },
  arm64: { debian: 'arm64', triplet: 'aarch64-linux-gnu', loader: 'ld-linux-aarch64.so.1' },
};

/**
 * apt's configuration: read after the system's own, whose proxy and certificates hold, and whose
 * hooks and pins do not.
 */
export function aptConfig(folder: string, architecture: string): string {
  const set = {
    'Dir::State': `${folder}/state`,
    'Dir::State::status': `${folder}/status`,
    'Dir::Cache': `${folder}/cache`,
    'Dir::Etc::sourcelist': '/dev/null',
    'Dir::Etc::sourceparts': `${folder}/sources`,
    'Dir::Etc::preferences': '/dev/null',
    'Dir::Etc::preferencesparts': '/dev/null',
    'APT::Sandbox::User': 'root', // another user may not come into this folder
    'Acquire::Retries': '3',
    'Acquire::Languages': 'none',
  };
  const clear = [
    'APT::Update::Pre-Invoke',
    'APT::Update::Post-Invoke',
    'APT::Update::Post-Invoke-Success',
    'DPkg::Pre-Install-Pkgs',
    'DPkg::Post-Invoke',
    'APT::Architectures',
    'APT::Default-Release',
  ];
  return [
    ...clear.map((key) => `#clear ${key};`),
    `APT::Architectures { "${architecture}"; };`,
    ...Object.entries(set).map(([key, value]) => `${key} "${value}";`),
    '',
  ].join('\n');
}

/**
 * The driver's manifest with its library by full path: by name, the system's own could be found.
 */
export function manifest(text: string, libraries: string): string {
  const { ICD, ...rest } = JSON.parse(text) as { ICD: { library_path: string } };
  return JSON.stringify({
    ...rest,
    ICD: { ...ICD, library_path: join(libraries, ICD.library_path.split('/').at(-1)!) },
  });
}

/**
 * Runs Node (BARK_TEST_HOST_NODE, else the one in the path) with the folder's own loader, before
 * whose libraries the system's do not come. A variable like LD_LIBRARY_PATH would do that to the
 * children too, among them programs of the system. Within, process.execPath is the loader;
 * BARK_TEST_NODE says what a child is to be started with (run_worker.ts).
 */
export function nodeScript(triplet: string, loader: string): string {
  return `#!/bin/sh
here=$(cd "\${0%/*}" && pwd)
export BARK_TEST_NODE="$here/node" VK_DRIVER_FILES="$here/driver.json" VK_ICD_FILENAMES="$here/driver.json"
exec "$here/root/usr/lib/${triplet}/${loader}" --library-path "$here/root/usr/lib/${triplet}" "$(command -v "\${BARK_TEST_HOST_NODE:-node}")" "$@"
`;
}

/**
 * Makes `folder`, whole or not at all. Throws an Error that says in one line why it cannot be had.
 */
export function fetchSubgroupMatrixDriver(folder: string, aptFiles: readonly AptFile[], codename: string): void {
  const architecture = ARCHITECTURES[process.arch];
  if (!architecture) throw new Error(`Debian's packages for '${process.arch}' are not known here`);
  const source = suitesSource(aptFiles, codename, SUITES);
  if (!source) throw new Error(`apt has no source of ${codename || 'this release'} whose mirror could be asked`);

  const { debian, triplet, loader } = architecture;
  const part = `${folder}.part-${process.pid}`;
  const apt = join(part, 'apt');
  try {
    for (const name of ['state/lists/partial', 'cache/archives/partial', 'sources'])
      mkdirSync(join(apt, name), { recursive: true });
    writeFileSync(join(apt, 'sources', source.path), source.text);
    writeFileSync(join(apt, 'status'), '');
    writeFileSync(join(apt, 'apt.conf'), aptConfig(apt, debian));
    run('apt-get', ['-c', join(apt, 'apt.conf'), '-qq', '-o', 'APT::Update::Error-Mode=any', 'update']);
    run('apt-get', [
      '-c',
      join(apt, 'apt.conf'),
      '-qq',
      '-y',
      '--download-only',
      '--no-install-recommends',
      '-t',
      SUITES.at(-1)!,
      'install',
      ...PACKAGES,
    ]);

    const root = join(part, 'root');
    const archives = join(apt, 'cache/archives');
    for (const name of readdirSync(archives).filter((name) => name.endsWith('.deb')))
      run('dpkg-deb', ['-x', join(archives, name), root]);
    const libraries = join(root, 'usr/lib', triplet);
    const icds = join(root, 'usr/share/vulkan/icd.d');
    const icd = readdirSync(icds).find((name) => /^lvp_icd.*\.json$/.test(name));
    if (!icd || !existsSync(join(libraries, loader)))
      throw new Error(`the packages of ${SUITES.at(-1)} hold no ${icd ? loader : 'lavapipe'}`);
    // Written for the place where the folder comes to lie.
    writeFileSync(
      join(part, 'driver.json'),
      manifest(readFileSync(join(icds, icd), 'utf8'), join(folder, 'root/usr/lib', triplet)),
    );
    writeFileSync(join(part, 'node'), nodeScript(triplet, loader));
    chmodSync(join(part, 'node'), 0o755);
    rmSync(apt, { recursive: true });
    rmSync(join(root, 'usr/share/doc'), { recursive: true, force: true });
    mkdirSync(dirname(folder), { recursive: true });
    rmSync(folder, { recursive: true, force: true });
    renameSync(part, folder);
  } finally {
    rmSync(part, { recursive: true, force: true });
  }
}

function run(name: string, args: readonly string[]): void {
  const { status, error, stdout, stderr } = spawnSync(name, args, {
    encoding: 'utf8',
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive', LC_ALL: 'C.UTF-8' },
    stdio: ['ignore', 'pipe', 'pipe'],
    maxBuffer: 1 << 26,
    timeout: 180_000,
  });
  if (status === 0) return;
  const lines = `${stdout ?? ''}${stderr ?? ''}`.split('\n').filter((line) => /^E:/.test(line));
  throw new Error(
    `${name} ${args.find((arg) => arg === 'update' || arg === 'install') ?? '-x'}: ${error?.message ?? lines[0] ?? `exit code ${status}`}`,
  );
}
