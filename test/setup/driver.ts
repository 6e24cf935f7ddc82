// Installs a software Vulkan driver (Mesa's lavapipe) where Linux has no WebGPU adapter, through
// apt on Debian and its relatives; elsewhere it says what to install. With --with-swiftshader it
// also gets SwiftShader, a second driver that the tests use: no shader-f16, subgroups of 4; with
// --with-subgroup-matrices a third, a newer Mesa beside the system's (subgroup_matrix_driver.ts):
// subgroup matrices.
// It never removes a package and never touches a source that it did not write. --dry-run prints
// what it would do; APT_ETC and OS_RELEASE name another /etc/apt and another /etc/os-release (for
// the tests).

import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { backportsSource, type AptFile } from './apt_sources.ts';
import {
  chromium,
  findAdapter,
  SUBGROUP_MATRIX_FEATURE,
  SUBGROUP_MATRIX_FOLDER,
  profileAdapter,
  swiftshaderDriver,
} from '../profiles.ts';
import { fetchSubgroupMatrixDriver, SUITES } from './subgroup_matrix_driver.ts';

const APT_ETC = process.env.APT_ETC ?? '/etc/apt';
const OS_RELEASE = process.env.OS_RELEASE ?? '/etc/os-release';
const DRIVER = ['mesa-vulkan-drivers', 'libvulkan1'];
const LOCK_WAIT_S = 300;
const dryRun = process.argv.includes('--dry-run');

/** What a person is told to do; it ends the script without a stack trace. */
class Stop extends Error {}

const say = (text: string): void => console.log(`setup: ${text}`);

/** Prefix of a command that needs root; asks for a password only where somebody can type it. */
function asRoot(): string[] {
  if (process.getuid?.() === 0) return [];
  if (
    spawnSync('sudo', ['-n', 'true'], { stdio: 'ignore' }).status === 0 ||
    (process.stdin.isTTY && spawnSync('sudo', ['-V'], { stdio: 'ignore' }).status === 0)
  )
    return ['sudo'];
  throw new Stop(
    `got no root rights and no sudo, expected one of them to install a Vulkan driver. As root: apt-get install ${DRIVER.join(' ')} (on Debian 12 with '-t bookworm-backports'), then run this again.`,
  );
}

function root(command: string[], input?: string): { ok: boolean; output: string } {
  const [name, ...args] = [...asRoot(), ...command];
  const result = spawnSync(name!, args, { input: input ?? '', encoding: 'utf8', maxBuffer: 1 << 26 });
  return { ok: result.status === 0, output: `${result.stdout ?? ''}${result.stderr ?? ''}` };
}

/**
 * Refreshes the package lists and installs. A source that cannot be read, perhaps another vendor's,
 * matters only if the install fails too.
 */
function aptInstall(args: string[]): void {
  let trouble = '';
  try {
    aptGet(['update']);
  } catch (error) {
    if (!(error instanceof Stop)) throw error;
    trouble = `${error.message}
`;
  }
  try {
    aptGet(['install', '--no-install-recommends', ...args]);
  } catch (error) {
    throw error instanceof Stop ? new Stop(trouble + error.message) : error;
  }
}

/** Runs apt-get as root without questions, waiting while another apt holds a lock. */
function aptGet(args: string[]): void {
  const command = [
    'env',
    'DEBIAN_FRONTEND=noninteractive',
    'LC_ALL=C.UTF-8',
    'apt-get',
    '-qq',
    '-y',
    '-o',
    `DPkg::Lock::Timeout=${LOCK_WAIT_S}`,
    '-o',
    'Acquire::Retries=3',
    ...args,
  ];
  if (dryRun) return say(`would run: ${['apt-get', ...args].join(' ')}`);
  const start = Date.now();
  for (let told = false; ; told = true) {
    const { ok, output } = root(command);
    if (ok) return;
    // DPkg::Lock::Timeout does not cover the lock of the package lists, which `update` takes.
    const locked = /could not get lock|unable to (acquire|lock)/i.test(output);
    if (!locked || Date.now() - start > LOCK_WAIT_S * 1000)
      throw new Stop(`'apt-get ${args.join(' ')}' failed:\n${output.trim().split('\n').slice(-15).join('\n')}`);
    if (!told) say('waiting for another apt to finish');
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 3000);
  }
}

function readAptFiles(): AptFile[] {
  const folder = join(APT_ETC, 'sources.list.d');
  const names = existsSync(folder)
    ? readdirSync(folder)
        .filter((name) => /\.(list|sources)$/.test(name))
        .sort()
    : [];
  return [join(APT_ETC, 'sources.list'), ...names.map((name) => join(folder, name))]
    .filter((path) => existsSync(path))
    .map((path) => ({ path, text: readFileSync(path, 'utf8') }));
}

function osRelease(): { id: string; like: string; version: number; codename: string; name: string } {
  const text = existsSync(OS_RELEASE) ? readFileSync(OS_RELEASE, 'utf8') : '';
  const field = (key: string): string => new RegExp(`^${key}="?([^"\\n]*)"?$`, 'm').exec(text)?.[1] ?? '';
  return {
    id: field('ID'),
    like: field('ID_LIKE'),
    version: Number.parseFloat(field('VERSION_ID')),
    codename: field('VERSION_CODENAME'),
    name: field('PRETTY_NAME') || 'this Linux',
  };
}

const ELSEWHERE: Record<string, string> = {
  fedora: 'dnf install mesa-vulkan-drivers vulkan-loader',
  rhel: 'dnf install mesa-vulkan-drivers vulkan-loader',
  arch: 'pacman -S vulkan-swrast vulkan-icd-loader',
  suse: 'zypper install libvulkan_lvp libvulkan1',
  opensuse: 'zypper install libvulkan_lvp libvulkan1',
  void: 'xbps-install mesa-vulkan-lavapipe vulkan-loader',
};

function installVulkan(): void {
  const os = osRelease();
  const family = [os.id, ...os.like.split(/\s+/)];
  const advice = family.map((id) => ELSEWHERE[id]).find(Boolean);
  if (!family.includes('debian') && !family.includes('ubuntu')) {
    throw new Stop(
      `got no WebGPU adapter on ${os.name}, expected a Vulkan driver. Install your GPU's, or Mesa's software one${advice ? `: ${advice}` : ' (lavapipe, Mesa 25 or newer) and the Vulkan loader'}.`,
    );
  }
  // Debian 12's own Mesa, 22.3, has no Vulkan that Dawn accepts; Debian 13 and Ubuntu 24.04 have.
  if (os.id === 'debian' && os.version === 12) return installFromBackports(os.codename || 'bookworm');
  say(`no WebGPU adapter: installing a software Vulkan driver (${DRIVER[0]})`);
  aptInstall(DRIVER);
}

function installFromBackports(codename: string): void {
  const source = backportsSource(readAptFiles(), codename);
  if (!source)
    throw new Stop(
      `${APT_ETC}: got no source of ${codename}, expected one to find ${codename}-backports beside. Add that suite, then: apt-get install -t ${codename}-backports ${DRIVER.join(' ')}.`,
    );
  say(`no WebGPU adapter: installing a software Vulkan driver (${DRIVER[0]} from ${codename}-backports)`);
  const added = source === 'enabled' ? undefined : join(APT_ETC, 'sources.list.d', source.path);
  if (added && source !== 'enabled') writeRoot(added, source.text);
  try {
    aptInstall(['-t', `${codename}-backports`, ...DRIVER]);
  } catch (error) {
    // a suite that cannot be read would break every later apt-get update
    if (added && !dryRun) root(['rm', '-f', added]);
    throw error;
  }
}

function writeRoot(path: string, text: string): void {
  if (dryRun) return say(`would write ${path}:\n${text.trimEnd()}`);
  const { ok, output } = root(['tee', path], text);
  if (!ok) throw new Stop(`${path}: cannot be written: ${output.trim()}`);
}

/**
 * SwiftShader comes with Chromium on Debian, which the tests in a browser want too. It is a wish,
 * not a need: both are left out where it cannot be had.
 */
function installSwiftshader(): void {
  if (swiftshaderDriver() && chromium()) return;
  if (osRelease().id !== 'debian')
    return say(
      'SwiftShader: not found, and this distribution has no package of it; tests run without its profile. Chrome or Chromium brings it.',
    );
  say('installing Chromium, with SwiftShader (chromium)');
  try {
    aptInstall(['chromium']);
  } catch (error) {
    say(`SwiftShader could not be installed; tests run without its profile. ${(error as Error).message}`);
  }
}

/**
 * A Mesa with subgroup matrices, unpacked beside the system's. A wish too: the profile is left out
 * where it cannot be had, in one line.
 */
function fetchSubgroupMatrices(): void {
  if (profileAdapter('subgroup_matrix')) return;
  const without = 'tests run without the profile of subgroup matrices';
  const os = osRelease();
  if (process.platform !== 'linux' || os.id !== 'debian')
    return say(`a driver with subgroup matrices is fetched on Debian only; ${without}`);
  if (dryRun) return say(`would fetch Mesa from ${SUITES.at(-1)} into ${SUBGROUP_MATRIX_FOLDER}`);
  say(
    `fetching a Mesa with subgroup matrices (${SUITES.at(-1)}, 73 MB) into ${SUBGROUP_MATRIX_FOLDER}; the system's own stays as it is`,
  );
  const start = Date.now();
  try {
    fetchSubgroupMatrixDriver(SUBGROUP_MATRIX_FOLDER, readAptFiles(), os.codename);
    const adapter = profileAdapter('subgroup_matrix')?.adapter;
    if (!adapter) throw new Error(`it gives no adapter with ${SUBGROUP_MATRIX_FEATURE}`);
    say(`'${adapter.description || adapter.device}' is there after ${((Date.now() - start) / 1000).toFixed(0)} s`);
  } catch (error) {
    say(`no driver with subgroup matrices (${(error as Error).message}); ${without}`);
  }
}

try {
  if (dryRun || !findAdapter()) {
    const start = Date.now();
    installVulkan();
    const adapter = dryRun ? undefined : findAdapter();
    if (adapter)
      say(`'${adapter.description || adapter.device}' is there after ${((Date.now() - start) / 1000).toFixed(0)} s`);
    if (!dryRun && !adapter) {
      const set = ['VK_DRIVER_FILES', 'VK_ICD_FILENAMES'].find((name) => process.env[name]);
      throw new Stop(
        `a software Vulkan driver is installed, but there is still no WebGPU adapter. ${set ? `${set} is set to '${process.env[set]}': unset it.` : 'Mesa 25 or newer is expected; see what `vulkaninfo --summary` says.'}`,
      );
    }
  }
  if (process.argv.includes('--with-swiftshader')) installSwiftshader();
  if (process.argv.includes('--with-subgroup-matrices')) fetchSubgroupMatrices();
} catch (error) {
  if (!(error instanceof Stop)) throw error;
  console.error(`setup: ${error.message}`);
  process.exit(1);
}
