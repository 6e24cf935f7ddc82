// What the parts of the suite `device` share: how a figure is reported, buffers of whole numbers
// and their check, and the median time of something that the host waits for.

import type { Device } from '../../runtime/compute/device.ts';
import type { Tensor } from '../../runtime/compute/tensor.ts';
import { median } from './harness.ts';

/** Reports one figure of the suite `device`. */
export type Say = (
  probe: string,
  value: string | number | null,
  unit?: string,
  more?: Record<string, string | number | null>,
) => void;

/** Sizes of what is compared with a processor. */
export interface CoreCases {
  readonly copyBytes: number;
  /** Of all matrices that the walk reads, one after the other. */
  readonly weightBytes: number;
  readonly rounds: number;
  readonly products: readonly (readonly [m: number, n: number, k: number])[];
}

/** Sizes of the measurements; tests use smaller ones. */
export interface DeviceCases {
  readonly chains: readonly number[];
  readonly readBytes: number;
  /** Of a processor, see device_cores.ts. */
  readonly cores: CoreCases;
}

/** A buffer of `count` u32 numbers. */
export const words = (device: Device, count: number, owner: object & { name: string }, label: string): Tensor =>
  device.createTensor([count], 'u32', owner, label);

/** Throws unless all numbers of `t` are `expected`. */
export async function expectAll(device: Device, t: Tensor, expected: number, what: string): Promise<void> {
  const numbers = new Uint32Array(await device.read(t));
  const at = numbers.findIndex((v) => v !== expected);
  if (at >= 0) throw new Error(`${what}: got ${numbers[at]} at ${at}, expected ${expected}.`);
}

/** Median of `times` calls of `run`, each of which returns the milliseconds that it took. */
export async function medianMs(times: number, run: () => Promise<number> | number): Promise<number> {
  const all: number[] = [];
  for (let i = 0; i < times; i++) all.push(await run());
  return median(all);
}
