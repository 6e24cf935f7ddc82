// The host's side of the two small uniforms that kernels read: `Row` (common/state.wgsl), what
// changes from token to token, and `Call` (common/call.wgsl), one run over many positions of one
// sentence.

import { USAGE, type Device } from '../runtime/compute/device.ts';
import type { Owner } from '../runtime/compute/ledger.ts';
import type { Allocator } from '../runtime/compute/shape_only.ts';
import type { Tensor } from '../runtime/compute/tensor.ts';

/** Sentences that one decode program can hold: the length of the uniform array `state`. */
export const MAX_BATCH = 16;
const ROW_BYTES = 32;

export interface RowState {
  token: number;
  position: number;
  step: number;
  done: boolean;
  /** 64-bit key of the row's random numbers, low word first. */
  seed: readonly [number, number];
  limit: number;
  base: number;
}

/** A small buffer that kernels read as a uniform and one of them (sampling) writes as storage. */
export function createUniform(device: Allocator, words: number, owner: Owner, label: string): Tensor {
  const buffer = device.createBuffer(
    Math.max(256, 4 * words),
    USAGE.UNIFORM | USAGE.STORAGE | USAGE.COPY_DST | USAGE.COPY_SRC,
    owner,
    label,
  );
  return { buffer, offset: 0, shape: [buffer.size / 4], dtype: 'u32', label };
}

export const createState = (device: Allocator, owner: Owner): Tensor =>
  createUniform(device, (MAX_BATCH * ROW_BYTES) / 4, owner, 'state');

export function writeRow(device: Device, state: Tensor, row: number, s: RowState): void {
  device.write(
    state,
    Uint32Array.of(s.token, s.position, s.step, s.done ? 1 : 0, s.seed[0], s.seed[1], s.limit, s.base),
    row * ROW_BYTES,
  );
}

/** Rows as they stand on the GPU; a read-back. */
export async function readRows(device: Device, state: Tensor, rows: number): Promise<RowState[]> {
  const words = new Uint32Array(await device.read(state, 0, rows * ROW_BYTES));
  return Array.from({ length: rows }, (_, i) => {
    const [token, position, step, done, low, high, limit, base] = words.subarray(
      8 * i,
      8 * i + 8,
    ) as unknown as number[];
    return {
      token: token!,
      position: position!,
      step: step!,
      done: done === 1,
      seed: [low!, high!],
      limit: limit!,
      base: base!,
    };
  });
}

/** `count` positions from `start` on of the sentence in row `slot`. */
export function writeCall(
  device: Device,
  call: Tensor,
  { count, start = 0, slot = 0 }: { count: number; start?: number; slot?: number },
): void {
  device.write(call, Uint32Array.of(count, start, slot));
}
