// What `BarkModel.fromPretrained` takes, checked before anything is opened.

import type { WeightDType } from '../kernels/upload/matrix.ts';
import { checkOptions, wrongOption } from '../runtime/base/options.ts';
import type { Device } from '../runtime/compute/device.ts';
import { checkDevice } from '../runtime/compute/given_device.ts';
import { PRETRAINED_OPTIONS, type OpenPretrainedOptions } from './pretrained/pretrained.ts';

/** 'fp16' and 'fp32' are transformers.js' words for the same. */
export type DTypeName = 'float16' | 'float32' | 'fp16' | 'fp32';

export interface LoadOptions extends OpenPretrainedOptions {
  /**
   * How weights and KV caches are stored on the GPU. Kernels accumulate in f32 either way, and the
   * codec is always f32. Default 'float16', which may be written 'fp16', as may 'float32' 'fp32'.
   */
  dtype?: DTypeName | undefined;
  /** Default: the model requests a device of its own, and frees it in `dispose`. */
  device?: Device | undefined;
  /** Load no weights now, and later only those of the running stage. See `enableCpuOffload`. */
  offload?: boolean | undefined;
}

/** How weights are to be stored. Throws `InputError` for what cannot be. */
export function checkLoadOptions(door: string, options: LoadOptions): WeightDType {
  checkOptions(door, options, ['dtype', 'device', 'offload', 'codec', ...PRETRAINED_OPTIONS]);
  checkDevice(door, options.device);
  return fullDType(door, options.dtype) === 'float16' ? 'f16' : 'f32';
}

/** The dtype by its long name. Throws `InputError` for one that is not here. */
export function fullDType(door: string, dtype: DTypeName = 'float16'): 'float16' | 'float32' {
  const full = { float16: 'float16', fp16: 'float16', float32: 'float32', fp32: 'float32' } as const;
  if (typeof dtype === 'string' && Object.hasOwn(full, dtype)) return full[dtype];
  throw wrongOption(door, 'dtype', dtype, "'float16' ('fp16') or 'float32' ('fp32')");
}
