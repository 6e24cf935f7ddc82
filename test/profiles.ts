// The adapters that tests run on, as data: what to set in a child's environment and what to ask
// Device.request for. A driver is chosen by the Vulkan loader when a process starts, so a profile
// is a process of its own (run.ts); within it BARK_TEST_PROFILE says which one it is.

import { spawnSync } from 'node:child_process';
import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { DEFAULTS } from '../kernels/common/choices.ts';
import type { DeviceOptions } from '../runtime/compute/adapter.ts';

export type ProfileName =
  | 'wasm'
  | 'one_thread'
  | 'four_threads'
  | 'default'
  | 'portable'
  | 'swiftshader'
  | 'gpu'
  | 'subgroup_matrix';

export interface Profile {
  /** One line for people. */
  readonly about: string;
  /** What the test's device is requested with. */
  readonly device: DeviceOptions;
  /** The flag of `npm run setup` that gets its driver. */
  readonly setupFlag?: string;
  /** Features that its adapter must have. */
  readonly features?: readonly string[];
}

/** Dawn's name of what tensor cores are in WGSL. */
export const SUBGROUP_MATRIX_FEATURE = 'chromium-experimental-subgroup-matrix';

// No tuning but what is named here: one remembered on this machine would make tests of something
// else (DeviceOptions.tuning).
// Deno is one more: there the tests are another program (deno run), not these files; see test/deno.
export const PROFILES: Readonly<Record<ProfileName, Profile>> = {
  wasm: {
    about: "the processor's threads with WebAssembly: no driver, no adapter",
    device: { backend: 'wasm', tuning: {} },
  },
  one_thread: {
    about: 'the processor with one thread: no barriers, and shares that are all of the work',
    device: { backend: 'wasm', threads: 1, tuning: {} },
  },
  four_threads: {
    about: 'the processor with four threads: shares that are uneven, small or empty',
    device: { backend: 'wasm', threads: 4, tuning: {} },
  },
  default: {
    about: 'the default adapter with all it has (Mesa lavapipe: shader-f16, subgroups of 8)',
    device: { backend: 'webgpu', tuning: {} },
  },
  portable: {
    about: 'the same adapter, core WGSL only, as in Deno and older browsers',
    device: { backend: 'webgpu', portable: true, tuning: {} },
  },
  swiftshader: {
    about: 'SwiftShader: no shader-f16, subgroups of 4, 256 invocations, 256-byte binding offsets',
    device: { backend: 'webgpu', tuning: {} },
    setupFlag: '--with-swiftshader',
  },
  gpu: {
    about: 'the choices that a GPU without matrix units gets, forced, on whatever the default adapter is',
    device: { backend: 'webgpu', tuning: { ...DEFAULTS.gpu, gemm: 'tile', attention: 'tile' } },
  },
  subgroup_matrix: {
    about:
      'subgroup matrices, and the kernels made of them forced (Mesa 26: 8×8×8; else the default adapter where that has them)',
    device: { backend: 'webgpu', tuning: { gemm: 'subgroup_matrix', attention: 'subgroup_matrix' } },
    setupFlag: '--with-subgroup-matrices',
    // all that kernels/common/subgroup_matrix.ts asks for: Dawn on Metal lacks the second
    features: [SUBGROUP_MATRIX_FEATURE, 'subgroup-size-control', 'shader-f16'],
  },
};

/** Whether the profile is one of the processor. */
export const isProcessor = (name: ProfileName): boolean => PROFILES[name].device.backend === 'wasm';

export const isProfileName = (name: string): name is ProfileName => Object.hasOwn(PROFILES, name);

/** The profile of this process: BARK_TEST_PROFILE, else the default adapter. */
export function currentProfile(): { name: ProfileName } & Profile {
  const name = process.env.BARK_TEST_PROFILE || 'default';
  if (!isProfileName(name))
    throw new Error(`BARK_TEST_PROFILE: got '${name}', expected one of ${Object.keys(PROFILES).join(', ')}.`);
  return { name, ...PROFILES[name] };
}

/** How a process is started that is on a profile: which program Node is, and variables. */
export interface Launch {
  readonly node: string;
  readonly env: Readonly<Record<string, string>>;
}

/** Undefined where the machine lacks the profile's driver. */
function profileLaunch(name: ProfileName): Launch | undefined {
  // BARK_BACKEND is for what a test starts: the command, or a model without a device of its own.
  const backend = isProcessor(name) ? 'wasm' : 'webgpu';
  const launch = { node: process.execPath, env: { BARK_TEST_PROFILE: name, BARK_BACKEND: backend } };
  if (name === 'swiftshader') {
    const file = swiftshaderDriver();
    // Loaders older than 1.3.207 know only the second name.
    return file ? { ...launch, env: { ...launch.env, VK_DRIVER_FILES: file, VK_ICD_FILENAMES: file } } : undefined;
  }
  // Without the driver that set-up fetches the default adapter may still do: a GPU, or a system
  // with Mesa 26. `features` tell.
  if (name === 'subgroup_matrix' && existsSync(subgroupMatrixNode()))
    return { node: subgroupMatrixNode(), env: { ...launch.env, BARK_TEST_HOST_NODE: process.execPath } };
  return launch;
}

/**
 * Where setup/subgroup_matrix_driver.ts puts its driver; it goes with the packages, outside what
 * git keeps.
 */
export const SUBGROUP_MATRIX_FOLDER = fileURLToPath(
  new URL('../node_modules/.cache/bark-webgpu/mesa-trixie', import.meta.url),
);
const subgroupMatrixNode = (): string => join(SUBGROUP_MATRIX_FOLDER, 'node');

// Where Chromium and Chrome keep it: Debian, Fedora, Chrome's own packages, Ubuntu's snap.
const CHROMIUMS = [
  '/usr/lib/chromium',
  '/usr/lib64/chromium-browser',
  '/usr/lib/chromium-browser',
  '/opt/google/chrome',
  '/opt/chromium',
  '/snap/chromium/current/usr/lib/chromium-browser',
];

/** Path of SwiftShader's Vulkan manifest, where some Chromium is installed on this Linux. */
export function swiftshaderDriver(): string | undefined {
  if (process.platform !== 'linux') return undefined;
  return CHROMIUMS.find(
    (folder) => existsSync(join(folder, 'libvk_swiftshader.so')) && existsSync(join(folder, 'vk_swiftshader_icd.json')),
  )?.concat('/vk_swiftshader_icd.json');
}

/** Path of a browser of this Linux, Chromium or Chrome; undefined where none is installed. */
export function chromium(): string | undefined {
  if (process.platform !== 'linux') return undefined;
  return CHROMIUMS.flatMap((folder) =>
    ['chromium', 'chromium-browser', 'chrome'].map((name) => join(folder, name)),
  ).find((file) => existsSync(file) && statSync(file).isFile());
}

export interface FoundAdapter {
  readonly vendor: string;
  readonly architecture: string;
  readonly device: string;
  readonly description: string;
  readonly features: readonly string[];
}

/**
 * The adapter that a process started so gets, asked in a child because a driver may crash;
 * undefined for none.
 */
export function findAdapter({ node, env }: Launch = { node: process.execPath, env: {} }): FoundAdapter | undefined {
  const script = fileURLToPath(new URL('setup/adapter.mjs', import.meta.url));
  const child = spawnSync(node, [script], {
    env: { ...process.env, ...env },
    encoding: 'utf8',
    timeout: 60_000,
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  return child.status === 0 ? (JSON.parse(child.stdout) as FoundAdapter) : undefined;
}

/** A processor has no adapter and needs none. */
const PROCESSOR: FoundAdapter = {
  vendor: 'cpu',
  architecture: 'wasm',
  device: '',
  description: 'the processor',
  features: [],
};

/** The adapter of a profile; undefined where the machine has none that does. */
export function profileAdapter(name: ProfileName): { launch: Launch; adapter: FoundAdapter } | undefined {
  const launch = profileLaunch(name);
  if (isProcessor(name)) return { launch: launch!, adapter: PROCESSOR };
  const adapter = launch && findAdapter(launch);
  const { features = [] } = PROFILES[name];
  return adapter && features.every((feature) => adapter.features.includes(feature)) ? { launch, adapter } : undefined;
}
