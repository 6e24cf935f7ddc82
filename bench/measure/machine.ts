// What a suite runs on: the device that its options ask for, and what each result says of it.

import { cpus } from 'node:os';
import type { DeviceOptions } from '../../runtime/compute/adapter.ts';
import type { BackendKind } from '../../runtime/compute/backend.ts';
import { Device } from '../../runtime/compute/device.ts';

export const BACKENDS = ['webgpu', 'wasm'] as const satisfies readonly BackendKind[];

/** What `--backend` and `--threads` say; left out: what `Device.request()` chooses. */
export interface Asked {
  readonly backend?: BackendKind | undefined;
  readonly threads?: number | undefined;
}

export const CPU = cpus()[0]?.model.trim() ?? 'unknown';

/** Where a device does not say what it is, it is a GPU. */
const backendOf = (device: Device): string => (device as { backend?: string }).backend ?? 'webgpu';

/** Null on a GPU. */
const threadsOf = (device: Device): number | null => (device as { threads?: number }).threads ?? null;

/** The device that is asked for, or an error: no result may be another backend's. */
export async function requestDevice({ backend, threads }: Asked, more: DeviceOptions = {}): Promise<Device> {
  const device = await Device.request({ ...more, ...(backend && { backend }), ...(threads && { threads }) });
  if (backend === undefined || backendOf(device) === backend) return device;
  const { name } = device;
  device.dispose();
  throw new Error(
    `--backend ${backend}: got '${name}', which is ${backendOf(device)}, expected a device of that backend. Leave the option out, or name the other one.`,
  );
}

/** The fields of a result that say where it was measured. */
export const machineOf = (device: Device) => ({
  adapter: device.name,
  backend: backendOf(device),
  threads: threadsOf(device),
  cpu: CPU,
});

export type Machine = ReturnType<typeof machineOf>;

/** The same of a device in another process, out of what came from there. */
export const whereOf = ({ adapter, backend, threads, cpu }: Machine): Machine => ({ adapter, backend, threads, cpu });
