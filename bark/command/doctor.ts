// `bark doctor`: what this machine can do, as text to paste into a bug report. Needs no model; ends
// well only where a kernel gives the right numbers.

import { statfs } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname } from 'node:path';
import { linear } from '../../kernels/linear/linear.ts';
import { linear as referenceLinear } from '../../kernels/linear/reference.ts';
import { subgroupMatrixUnit } from '../../kernels/common/subgroup_matrix.ts';
import { checkSubgroupMatrix } from '../../kernels/self_check.ts';
import { createUniform, writeCall } from '../../kernels/state.ts';
import { Device } from '../../runtime/compute/device.ts';
import { cacheFolder, hubSettings } from '../../runtime/sources/hub/settings.ts';
import { env } from '../../runtime/host/platform.ts';
import { record } from '../../runtime/compute/program.ts';
import { findTuning, type Measured } from '../../runtime/compute/tuning_file.ts';
import { packageVersion } from '../../runtime/host/version.ts';
import { players } from './play.ts';
import { byteCount } from '../../runtime/base/messages.ts';
import { checkSupport } from '../support.ts';
import { isSoftware, type DeviceOptions } from '../../runtime/compute/adapter.ts';
import type { BackendKind } from '../../runtime/compute/backend.ts';
import { matrixOf } from '../../kernels/upload/matrix.ts';

const LIMITS = [
  'maxBufferSize',
  'maxStorageBufferBindingSize',
  'maxStorageBuffersPerShaderStage',
  'maxComputeWorkgroupStorageSize',
  'maxComputeInvocationsPerWorkgroup',
] as const;
// No HF_TOKEN: this is text to paste into a public report.
const VARIABLES = [
  'BARK_BACKEND',
  'BARK_THREADS',
  'BARK_ADAPTER',
  'BARK_TUNING',
  'VK_DRIVER_FILES',
  'VK_ICD_FILENAMES',
  'HF_HOME',
  'HF_HUB_CACHE',
  'HF_HUB_OFFLINE',
  'HF_ENDPOINT',
];

export interface Diagnosis {
  ok: boolean;
  package: string;
  host: string;
  system: string;
  /** Version of npm `webgpu`; null where WebGPU is built in. */
  webgpu: string | null;
  /** What computes: a GPU, or the processor; null where neither can. */
  backend: BackendKind | null;
  adapter: string | null;
  /** Where the processor computes: the GPU that there is, or why there is none. */
  gpu: string | null;
  software: boolean;
  features: string[];
  limits: Record<string, number>;
  /** Which variants of kernels run here. */
  kernels: { f16: boolean; subgroups: string; matrices: string; timestamps: boolean } | null;
  /**
   * What `bark bench --tune` measured on this adapter, and where that is remembered; null where
   * nothing was, or where it is not used.
   */
  tuning: Measured | null;
  selfTest: string;
  players: string[];
  hub: HubState;
  environment: Record<string, string>;
  problems: string[];
}

interface HubState {
  /** Where files of the Hub are kept. */
  cache: string;
  /** Bytes that this place has room for; null where the system does not say. */
  free: number | null;
  /** Whether there is a token, not which. */
  token: boolean;
  offline: boolean;
  /** What is wrong with the settings, if anything is. */
  problem: string | null;
}

export async function diagnose(options: DeviceOptions = {}): Promise<Diagnosis> {
  const support = await checkSupport(options);
  const found: Diagnosis = {
    ok: false,
    package: `bark-webgpu ${await packageVersion()}`,
    host: 'Deno' in globalThis ? `Deno ${process.versions.deno}` : `Node ${process.versions.node}`,
    system: `${process.platform} ${process.arch}`,
    webgpu: 'Deno' in globalThis ? null : dawnVersion(),
    backend: support.backend,
    adapter: support.adapter,
    gpu: support.backend === 'wasm' ? await gpuBeside() : null,
    software: false,
    features: support.features,
    limits: {},
    kernels: null,
    tuning: null,
    selfTest: 'not run',
    players: players(),
    hub: await hubState(),
    environment: Object.fromEntries(VARIABLES.flatMap((name) => (env(name) === undefined ? [] : [[name, env(name)!]]))),
    problems: [...support.reasons],
  };
  if (found.hub.problem !== null) found.problems.push(found.hub.problem);
  if (!support.supported) return found;
  let device: Device | undefined;
  try {
    device = await Device.request(options);
    const { f16, subgroups, subgroupMinSize: least, subgroupMaxSize: most, timestamps } = device.capabilities;
    const unit = subgroupMatrixUnit(device);
    found.software = isSoftware(device.info);
    for (const name of device.kind === 'wasm' ? (['maxBufferSize'] as const) : LIMITS)
      found.limits[name] = device.limits[name];
    found.kernels =
      device.kind === 'wasm'
        ? null
        : {
            f16,
            subgroups: !subgroups ? 'none' : least === most ? `of ${most}` : `of ${least} to ${most}`,
            matrices: unit ? `${unit.M} × ${unit.N} × ${unit.K}` : 'none',
            timestamps,
          };
    if (!options.portable && device.kind === 'webgpu') found.tuning = (await findTuning(device.info)) ?? null;
    const start = performance.now();
    const slower = await checkSubgroupMatrix(device);
    if (slower) found.problems.push(slower);
    for (const dtype of ['f32', 'f16'] as const) await selfTest(device, dtype);
    found.selfTest = `a matrix product with f32 and with f16 weights is exact (${(performance.now() - start).toFixed(0)} ms)`;
    found.ok = true;
  } catch (error) {
    found.selfTest = 'failed';
    found.problems.push(error instanceof Error ? error.message : String(error));
  } finally {
    device?.dispose();
  }
  return found;
}

/** The GPU that `backend: 'webgpu'` would take, or why there is none. */
async function gpuBeside(): Promise<string> {
  const { adapter, reasons } = await checkSupport({ backend: 'webgpu' });
  return adapter ? `${adapter}: not used unless it is asked for (--backend webgpu)` : `none: ${reasons.join(' ')}`;
}

/** Small whole numbers, whose products and sums have no rounding: any other result is wrong. */
async function selfTest(device: Device, dtype: 'f32' | 'f16'): Promise<void> {
  const [m, k, n] = [5, 72, 40];
  const wholes = (count: number, step: number) => Float32Array.from({ length: count }, (_, i) => ((i * step) % 9) - 4);
  const [xs, ws] = [wholes(m * k, 7), wholes(n * k, 5)];
  const [x, y] = [device.createTensor([m, k], 'f32', 'doctor'), device.createTensor([m, n], 'f32', 'doctor')];
  const weight = matrixOf(device, ws, [n, k], dtype, 'doctor', 'weight');
  const call = createUniform(device, 3, 'doctor', 'call');
  device.write(x, xs);
  writeCall(device, call, { count: m });
  const program = await record(device, (r) => linear(r, y, x, { weight, bias: null }, call), { label: 'doctor' });
  program.run();
  const got = await device.readFloat32(y);
  program.dispose();
  const { values } = referenceLinear(xs, ws, null, [m, n, k]);
  for (const [i, expected] of values.entries()) {
    if (got[i] !== expected)
      throw new Error(
        `Self-test: linear with ${dtype} weights: got ${got[i]} at [${Math.floor(i / n)}, ${i % n}], expected ${expected}. Update the driver, or try another adapter (BARK_ADAPTER, VK_DRIVER_FILES).`,
      );
  }
}

async function hubState(): Promise<HubState> {
  const cache = await cacheFolder();
  const free = await freeSpace(cache);
  try {
    const { token, offline } = await hubSettings('suno/bark-small', {});
    return { cache, free, token: token !== undefined, offline, problem: null };
  } catch (error) {
    return { cache, free, token: false, offline: false, problem: (error as Error).message };
  }
}

/** Of the nearest folder that is there: the cache itself is made by the first download. */
async function freeSpace(folder: string): Promise<number | null> {
  const found = await statfs(folder).catch(() => undefined);
  if (found) return found.bavail * found.bsize;
  return dirname(folder) === folder ? null : freeSpace(dirname(folder));
}

function dawnVersion(): string | null {
  try {
    return (createRequire(import.meta.url)('webgpu/package.json') as { version: string }).version;
  } catch {
    return null;
  }
}

/** The report as people read it. */
export function describe(found: Diagnosis): string {
  const { kernels, hub } = found;
  const list = (names: readonly string[]) => (names.length > 0 ? names.join(', ') : 'none');
  const pairs = (record: Record<string, unknown>) =>
    Object.entries(record).map(([name, value]) => `${name} ${String(value)}`);
  const tuned = ({ tuning }: Measured) =>
    Object.keys(tuning).length > 0 ? list(pairs(tuning)) : 'nothing beats the defaults';
  const lines: [string, string][] = [
    ['package', found.package],
    ['host', `${found.host}, ${found.system}${found.webgpu ? `, webgpu ${found.webgpu}` : ''}`],
    ...(found.backend === 'wasm' ? [['GPU', `${found.gpu}`] as [string, string]] : []),
    [
      found.backend === 'wasm' ? 'processor' : 'adapter',
      found.adapter ? `${found.adapter}${found.software ? ' (computes on the CPU)' : ''}` : 'none',
    ],
    ['features', list(found.features)],
    ['limits', list(pairs(found.limits))],
    [
      'kernels',
      kernels
        ? `shader-f16 ${kernels.f16 ? 'yes' : 'no'}, subgroups ${kernels.subgroups}, matrices ${kernels.matrices}, timestamps ${kernels.timestamps ? 'yes' : 'no'}`
        : found.backend === 'wasm'
          ? 'those for processors, WebAssembly'
          : 'none can run',
    ],
    [
      'tuning',
      found.tuning
        ? `${tuned(found.tuning)}, measured ${found.tuning.date.slice(0, 10)}, ${found.tuning.file}`
        : found.backend === 'wasm'
          ? 'nothing to tune on a processor'
          : 'none in use (bark bench --tune)',
    ],
    ['self-test', found.selfTest],
    ['players', list(found.players)],
    [
      'Hub',
      `${hub.cache}, ${hub.free === null ? 'free space unknown' : `${byteCount(hub.free)} free`}; token ${hub.token ? 'yes' : 'no'}; ${hub.offline ? 'offline' : 'online'}`,
    ],
    ['variables', list(pairs(found.environment))],
    ...found.problems.map((problem): [string, string] => ['problem', problem]),
  ];
  return `${lines.map(([name, value]) => `${name.padEnd(11)}${value}`).join('\n')}\n`;
}
