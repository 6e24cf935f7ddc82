// Opens a GPU: the device of an adapter, with the features and limits that the kernels use.

import { adapterWarnings, WANTED_LIMITS, type DeviceOptions } from '../adapter.ts';
import type { DeviceEvents } from '../backend.ts';
import { wantedFeatures } from '../capabilities.ts';
import { webgpu } from '../../host/platform.ts';
import { WebGpuBackend } from './backend.ts';

export async function openWebGpu(adapter: GPUAdapter, { portable = false }: DeviceOptions) {
  const gpu = await adapter.requestDevice({
    requiredFeatures: wantedFeatures(portable).filter((f) => adapter.features.has(f)) as GPUFeatureName[],
    requiredLimits: Object.fromEntries(WANTED_LIMITS.map((name) => [name, adapter.limits[name]])),
  });
  const { info } = adapter;
  const { wgslLanguageFeatures } = await webgpu();
  const subgroupId = wgslLanguageFeatures?.has('subgroup_id') ?? false;
  return {
    info,
    warnings: adapterWarnings(info),
    open: (events: DeviceEvents) => new WebGpuBackend(gpu, info, subgroupId, events),
  };
}
