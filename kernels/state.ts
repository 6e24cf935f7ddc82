// The host's side of the two small buffers that tell kernels where each sentence stands: the state
// (`Row` of common/state.wgsl, one row for each sentence, changed with every token) and the call
// (`Call` of common/call.wgsl, one run over many positions of one sentence).

import { USAGE } from '../runtime/compute/backend.ts';
import type { Device } from '../runtime/compute/device.ts';
import type { Owner } from '../runtime/compute/ledger.ts';
import type { Allocator } from '../runtime/compute/shape_only.ts';
import type { Tensor } from '../runtime/compute/tensor.ts';

/** Maximum number of sentences in one decode program: the length of the uniform array `state`. */
export const MAX_BATCH = 16;
const ROW_BYTES = 32;

/** One sentence's row of the state buffer. */
export interface RowState {
  /** The token that the next decode step reads. */
  token: number;
  /** Its position in the sequence, which is the number of positions already in the KV cache. */
  position: number;
  /** Tokens drawn so far in this stage. */
  step: number;
  /** The sentence has ended; kernels leave its row alone. */
  done: boolean;
  /** 64-bit key of the row's random numbers, low word first. */
  seed: readonly [number, number];
  /** Number of tokens after which the sentence ends. */
  limit: number;
  /** Index in the row of the token buffer where the first drawn token goes. */
  base: number;
}

/**
 * A tensor of at least `words` 32-bit words that kernels read as a uniform. Sampling also writes it
 * as storage.
 */
export function createUniform(device: Allocator, words: number, owner: Owner, label: string): Tensor {
  const buffer = device.createBuffer(
    Math.max(256, 4 * words),
    USAGE.UNIFORM | USAGE.STORAGE | USAGE.COPY_DST | USAGE.COPY_SRC,
    owner,
    label,
  );
  return { buffer, offset: 0, shape: [buffer.size / 4], dtype: 'u32', label };
}

/** A state buffer with room for MAX_BATCH sentences. */
export const createState = (device: Allocator, owner: Owner): Tensor =>
  createUniform(device, (MAX_BATCH * ROW_BYTES) / 4, owner, 'state');

/** Overwrites sentence `row` of the state. */
export function writeRow(device: Device, state: Tensor, row: number, s: RowState): void {
  device.write(
    state,
    Uint32Array.of(s.token, s.position, s.step, s.done ? 1 : 0, s.seed[0], s.seed[1], s.limit, s.base),
    row * ROW_BYTES,
  );
}

/** The first `rows` rows of the state, read back from the GPU. */
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

/**
 * Sets the next run to `count` positions, starting at position `start` of the sentence in row
 * `slot`
 * of the batch. `call` is a uniform of 3 words.
 */
export function writeCall(
  device: Device,
  call: Tensor,
  { count, start = 0, slot = 0 }: { count: number; start?: number; slot?: number },
): void {
  device.write(call, Uint32Array.of(count, start, slot));
}
