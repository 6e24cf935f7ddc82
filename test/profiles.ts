// The adapters that tests run on, as data: what to set in a child's environment and what to ask Device.request for. A driver is chosen by the
// Vulkan loader when a process starts, so a profile is a process of its own (run.ts); within it BARK_TEST_PROFILE says which one it is.

import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { DeviceOptions } from '../runtime/device.ts';

export type ProfileName = 'default' | 'portable' | 'swiftshader';

export interface Profile {
  /** One line for people. */
  readonly about: string;
  /** What the test's device is requested with. */
  readonly device: DeviceOptions;
  /** Runs on SwiftShader and not on the machine's default adapter. */
  readonly swiftshader?: true;
}

// Deno is the fourth: there the tests are another program (deno run), not these files; see test/deno.
export const PROFILES: Readonly<Record<ProfileName, Profile>> = {
  default: { about: 'the default adapter with all it has (Mesa lavapipe: shader-f16, subgroups of 8)', device: {} },
  portable: { about: 'the same adapter, core WGSL only, as in Deno and older browsers', device: { portable: true } },
  swiftshader: { about: 'SwiftShader: no shader-f16, subgroups of 4, 256 invocations, 256-byte binding offsets', device: {}, swiftshader: true },
};

export const isProfileName = (name: string): name is ProfileName => Object.hasOwn(PROFILES, name);

/** The profile of this process: BARK_TEST_PROFILE, else the default adapter. */
export function currentProfile(): { name: ProfileName } & Profile {
  const name = process.env.BARK_TEST_PROFILE || 'default';
  if (!isProfileName(name)) throw new Error(`BARK_TEST_PROFILE: got '${name}', expected one of ${Object.keys(PROFILES).join(', ')}.`);
  return { name, ...PROFILES[name] };
}

/** Variables that put a child process on this profile; undefined where the machine lacks its driver. */
export function profileEnv(name: ProfileName): Record<string, string> | undefined {
  if (!PROFILES[name].swiftshader) return { BARK_TEST_PROFILE: name };
  const driver = swiftshaderDriver();
  // Loaders older than 1.3.207 know only the second name.
  return driver ? { BARK_TEST_PROFILE: name, VK_DRIVER_FILES: driver, VK_ICD_FILENAMES: driver } : undefined;
}

// Where Chromium and Chrome keep it: Debian, Fedora, Chrome's own packages, Ubuntu's snap.
const CHROMIUMS = ['/usr/lib/chromium', '/usr/lib64/chromium-browser', '/usr/lib/chromium-browser', '/opt/google/chrome', '/opt/chromium', '/snap/chromium/current/usr/lib/chromium-browser'];

/** Path of SwiftShader's Vulkan manifest, where some Chromium is installed on this Linux. */
export function swiftshaderDriver(): string | undefined {
  if (process.platform !== 'linux') return undefined;
  return CHROMIUMS.find((folder) => existsSync(join(folder, 'libvk_swiftshader.so')) && existsSync(join(folder, 'vk_swiftshader_icd.json')))?.concat('/vk_swiftshader_icd.json');
}

export interface FoundAdapter {
  readonly vendor: string;
  readonly architecture: string;
  readonly device: string;
  readonly description: string;
  readonly features: readonly string[];
}

/** The adapter that a process with these variables gets, asked in a child because a driver may crash; undefined for none. */
export function findAdapter(env: Record<string, string> = {}): FoundAdapter | undefined {
  const script = fileURLToPath(new URL('setup/adapter.mjs', import.meta.url));
  const child = spawnSync(process.execPath, [script], { env: { ...process.env, ...env }, encoding: 'utf8', timeout: 60_000, stdio: ['ignore', 'pipe', 'ignore'] });
  return child.status === 0 ? (JSON.parse(child.stdout) as FoundAdapter) : undefined;
}
