// Which device is used: options, the adapter that answers to them, and what kind it is.

import { InputError, UnsupportedError } from '../base/errors.ts';
import { checkOptions, isBag, wrongOption } from '../base/options.ts';
import { env, noAdapterAdvice, webgpu } from '../host/platform.ts';
import { MOST_THREADS } from '../host/threads.ts';
import type { BackendKind, DeviceInfo } from './backend.ts';
import type { Tuning } from './tuning_file.ts';

export interface DeviceOptions {
  /**
   * 'webgpu', 'wasm' (the processor's threads with WebAssembly), or 'auto': a GPU where there is
   * one, else the processor. Default: the environment variable BARK_BACKEND, else 'auto', and
   * 'webgpu' where `adapter` or `portable` asks for it, 'wasm' where `threads` does.
   */
  backend?: BackendKind | 'auto' | undefined;
  /**
   * Threads of the processor. Default: the environment variable BARK_THREADS, else as many as this
   * process may use. WebGPU has none.
   */
  threads?: number | undefined;
  /**
   * Part of the adapter's name (case does not matter); default: the environment variable
   * BARK_ADAPTER.
   */
  adapter?: string;
  powerPreference?: GPUPowerPreference;
  /** Use only the base kernels: core WGSL, no subgroups, no shader-f16. */
  portable?: boolean;
  /**
   * What was measured best on this adapter, by the names of kernels/common/choices.ts. Default:
   * what `bark bench --tune` remembers of it; nothing if portable.
   */
  tuning?: Tuning | undefined;
  /** Keep what runs when in `device.trace`. Default: only where BARK_TRACE names a file for it. */
  trace?: boolean;
}

const DEVICE_OPTIONS: readonly (keyof DeviceOptions)[] = [
  'adapter',
  'backend',
  'threads',
  'powerPreference',
  'portable',
  'tuning',
  'trace',
];
const BACKENDS = ['auto', 'webgpu', 'wasm'];

export const WANTED_LIMITS = [
  'maxBufferSize',
  'maxStorageBufferBindingSize',
  'maxStorageBuffersPerShaderStage',
  'maxComputeWorkgroupStorageSize',
  'maxComputeInvocationsPerWorkgroup',
  'maxComputeWorkgroupSizeX',
] as const;

/** Throws InputError for options that are wrong; returns the backend that they ask for. */
function checkDeviceOptions(options: DeviceOptions, door: string): BackendKind | 'auto' {
  checkOptions(door, options, DEVICE_OPTIONS);
  const { powerPreference, tuning, threads, adapter, portable } = options;
  if (powerPreference !== undefined && !['low-power', 'high-performance'].includes(powerPreference))
    throw wrongOption(door, 'powerPreference', powerPreference, "'low-power' or 'high-performance'");
  if (tuning !== undefined && !isBag(tuning)) throw wrongOption(door, 'tuning', tuning, 'an object of choices by name');
  if (threads !== undefined && !(Number.isInteger(threads) && threads >= 1 && threads <= MOST_THREADS))
    throw wrongOption(door, 'threads', threads, `a whole number from 1 to ${MOST_THREADS}`);
  // What the caller says counts before what the environment says.
  const named = adapter !== undefined || portable ? 'webgpu' : threads !== undefined ? 'wasm' : undefined;
  const said = options.backend ?? named;
  const asked = said ?? (env('BARK_BACKEND') || (env('BARK_ADAPTER') ? 'webgpu' : 'auto'));
  if (!BACKENDS.includes(asked))
    throw options.backend === undefined
      ? new InputError(`BARK_BACKEND: got '${asked}', expected auto, webgpu or wasm. Set one of them, or unset it.`)
      : wrongOption(door, 'backend', asked, "'auto', 'webgpu' or 'wasm'");
  if (asked === 'webgpu' && threads !== undefined)
    throw new InputError(
      `${door}: got threads: ${threads} for a GPU, expected none: it has none to choose. Leave it out, or ask for backend: 'wasm'.`,
    );
  return asked as BackendKind | 'auto';
}

/** The adapter that `options` select, or an error that says what to install. */
export async function requestAdapter(options: DeviceOptions = {}, door = 'requestAdapter'): Promise<GPUAdapter> {
  checkDeviceOptions(options, door);
  const { powerPreference } = options;
  const gpu = await webgpu();
  const adapter = await gpu.requestAdapter({ powerPreference: powerPreference ?? 'high-performance' });
  if (!adapter)
    throw new UnsupportedError(`WebGPU: got no adapter, expected a GPU or a software driver. ${noAdapterAdvice()}`);
  const wanted = options.adapter ?? env('BARK_ADAPTER');
  const name = adapterName(adapter.info);
  if (wanted && !name.toLowerCase().includes(wanted.toLowerCase())) {
    throw new InputError(
      `adapter: got '${name}', expected a name with '${wanted}'. Leave the adapter option and BARK_ADAPTER unset to use it, or choose the driver through VK_DRIVER_FILES.`,
    );
  }
  return adapter;
}

export const adapterName = (info: DeviceInfo): string =>
  [info.description || info.device, info.vendor, info.architecture].filter(Boolean).join(' · ') || 'unnamed adapter';

/** A driver that computes on the CPU: it works, slowly. */
export const isSoftware = (info: DeviceInfo): boolean =>
  info.isFallbackAdapter === true || /llvmpipe|lavapipe|swiftshader|basic render/i.test(adapterName(info));

/** For people to read: what is slow about the adapter. */
export const adapterWarnings = (info: DeviceInfo): string[] =>
  isSoftware(info)
    ? [
        `No GPU driver was found: '${adapterName(info)}' computes on the CPU. It gives the same result, much more slowly.`,
      ]
    : [];

/** Which backend the options ask for, with the adapter if it is WebGPU, or why there is none. */
export async function chooseBackend(
  options: DeviceOptions,
  door: string,
): Promise<{ kind: 'webgpu'; adapter: GPUAdapter; why?: never } | { kind: 'wasm'; adapter?: never; why?: string }> {
  const asked = checkDeviceOptions(options, door);
  if (asked === 'wasm') return { kind: 'wasm' };
  if (asked === 'webgpu') return { kind: 'webgpu', adapter: await requestAdapter(options, door) };
  try {
    const adapter = await requestAdapter(options, door);
    if (!isSoftware(adapter.info)) return { kind: 'webgpu', adapter };
    return { kind: 'wasm', why: `'${adapterName(adapter.info)}' computes on the processor too, more slowly` };
  } catch (error) {
    return { kind: 'wasm', why: (error as Error).message };
  }
}
