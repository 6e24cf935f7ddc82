// What a suite runs on: the device that its options ask for, and what each result says of it.

import { cpus } from 'node:os';
import type { DeviceOptions } from '../../runtime/compute/adapter.ts';
import type { BackendKind } from '../../runtime/compute/backend.ts';
import { Device } from '../../runtime/compute/device.ts';
import { WasmBackend } from '../../runtime/compute/wasm/backend.ts';

export const BACKENDS = ['webgpu', 'wasm'] as const satisfies readonly BackendKind[];

/** What `--backend` and `--threads` say; left out: what `Device.request()` chooses. */
export interface Asked {
  readonly backend?: BackendKind | undefined;
  readonly threads?: number | undefined;
}

export const CPU = cpus()[0]?.model.trim() ?? 'unknown';

/** Null on a GPU. */
const threadsOf = ({ backend }: Device): number | null => (backend instanceof WasmBackend ? backend.threads : null);

/** The device that is asked for, or an error: no result may be another backend's. */
export async function requestDevice({ backend, threads }: Asked, more: DeviceOptions = {}): Promise<Device> {
  const device = await Device.request({ ...more, ...(backend && { backend }), ...(threads && { threads }) });
  if (backend === undefined || device.kind === backend) return device;
  const { name, kind } = device;
  device.dispose();
  throw new Error(
    `--backend ${backend}: got '${name}', which is ${kind}, expected a device of that backend. Leave the option out, or name the other one.`,
  );
}

/** The fields of a result that say where it was measured. */
export const machineOf = (device: Device): Machine => ({
  adapter: device.name,
  backend: device.kind,
  threads: threadsOf(device),
  cpu: CPU,
});

export interface Machine {
  readonly adapter: string;
  readonly backend: string;
  readonly threads: number | null;
  readonly cpu: string;
}

/** The same of a device in another process, out of what came from there. */
export const whereOf = ({ adapter, backend, threads, cpu }: Machine): Machine => ({ adapter, backend, threads, cpu });
