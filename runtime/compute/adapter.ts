// Which GPU is used: options, the adapter that answers to them, and what kind it is.

import { InputError, UnsupportedError } from '../base/errors.ts';
import { checkOptions, isBag, wrongOption } from '../base/options.ts';
import { env, noAdapterAdvice, webgpu } from '../host/platform.ts';
import type { Tuning } from './tuning_file.ts';

export interface DeviceOptions {
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

const DEVICE_OPTIONS: readonly (keyof DeviceOptions)[] = ['adapter', 'powerPreference', 'portable', 'tuning', 'trace'];

export const WANTED_LIMITS = [
  'maxBufferSize',
  'maxStorageBufferBindingSize',
  'maxStorageBuffersPerShaderStage',
  'maxComputeWorkgroupStorageSize',
  'maxComputeInvocationsPerWorkgroup',
  'maxComputeWorkgroupSizeX',
] as const;

/** The adapter that `options` select, or an error that says what to install. */
export async function requestAdapter(options: DeviceOptions = {}, door = 'requestAdapter'): Promise<GPUAdapter> {
  checkOptions(door, options, DEVICE_OPTIONS);
  const { powerPreference, tuning } = options;
  if (powerPreference !== undefined && !['low-power', 'high-performance'].includes(powerPreference))
    throw wrongOption(door, 'powerPreference', powerPreference, "'low-power' or 'high-performance'");
  if (tuning !== undefined && !isBag(tuning)) throw wrongOption(door, 'tuning', tuning, 'an object of choices by name');
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

export const adapterName = (info: GPUAdapterInfo): string =>
  [info.description || info.device, info.vendor, info.architecture].filter(Boolean).join(' · ') || 'unnamed adapter';

/** A driver that computes on the CPU: it works, slowly. */
export const isSoftware = (info: GPUAdapterInfo): boolean =>
  info.isFallbackAdapter === true || /llvmpipe|lavapipe|swiftshader|basic render/i.test(adapterName(info));

/** For people to read: what is slow about the adapter. */
export const adapterWarnings = (info: GPUAdapterInfo): string[] =>
  isSoftware(info)
    ? [
        `No GPU driver was found: '${adapterName(info)}' computes on the CPU. It gives the same result, much more slowly.`,
      ]
    : [];
