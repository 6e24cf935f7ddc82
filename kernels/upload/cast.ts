// Uploads stored matrices as weights. The cast from f32 to f16 and the padding of rows happen on
// the GPU, so that reading the disk is what limits loading.

import type { Device } from '../../runtime/compute/device.ts';
import { UnsupportedError } from '../../runtime/base/errors.ts';
import { record } from '../../runtime/compute/program.ts';
import { bytesPerElement, padTo8, type Tensor } from '../../runtime/compute/tensor.ts';
import { shader } from '../shaders.ts';
import { createUniform } from '../state.ts';

export type SourceDType = 'F32' | 'F16' | 'BF16';
const SOURCES = { F32: 0, F16: 1, BF16: 2 } as const;
const sourceBytes = (dtype: SourceDType): number => (dtype === 'F32' ? 4 : 2);

/**
 * Bytes uploaded in one piece. Small, because Dawn and browsers stage as much again in host memory.
 */
const CHUNK_BYTES = 8 << 20;
const TURNS = 8; // eights that each thread of cast.wgsl converts
const IN_FLIGHT_BYTES = 2 * CHUNK_BYTES;

/**
 * A matrix (N, K) in a file. `read` resolves to its bytes [start, end), and uses the memory `into`
 * for them where it can.
 */
export interface StoredMatrix {
  readonly label: string;
  readonly shape: readonly [n: number, k: number];
  readonly dtype: SourceDType;
  read(start: number, end: number, into?: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>>;
}

/**
 * Staging memory that all casts on one device share. Loading a model uploads thousands of pieces,
 * and a staging buffer for each tensor would cost more than the cast.
 */
interface Staging {
  readonly source: Tensor;
  readonly params: Tensor;
  /** Uploads that the GPU has not completed yet, the oldest first. */
  readonly inFlight: { bytes: number; done: Promise<undefined> }[];
  /**
   * Blocks of CHUNK_BYTES of host memory that no call is using. Allocating a block for each piece
   * would cost as much as reading it.
   */
  readonly idle: Uint8Array<ArrayBuffer>[];
  /** Calls of `withStaging` that are running; the last one frees the buffers. */
  holders: number;
}

const stagings = new WeakMap<Device, Staging>();

/** Keeps the staging memory allocated while `run` calls `castRows` many times. */
export async function withStaging<T>(device: Device, run: () => Promise<T>): Promise<T> {
  let staging = stagings.get(device);
  if (!staging) {
    const source = device.createTensor([CHUNK_BYTES / 4], 'u32', 'staging', 'cast source');
    staging = {
      source,
      params: createUniform(device, 3, 'staging', 'cast params'),
      inFlight: [],
      idle: [],
      holders: 0,
    };
    stagings.set(device, staging);
  }
  staging.holders++;
  try {
    return await run();
  } finally {
    if (--staging.holders === 0) {
      stagings.delete(device);
      device.destroyBuffer(staging.source.buffer); // WebGPU frees them when the submitted work is done
      device.destroyBuffer(staging.params.buffer);
    }
  }
}

/**
 * Registers an upload of `bytes`, then waits until at most IN_FLIGHT_BYTES are in flight, because
 * what the GPU has not copied yet occupies host memory.
 */
async function paced(device: Device, { inFlight }: Staging, bytes: number): Promise<void> {
  inFlight.push({ bytes, done: device.gpu.queue.onSubmittedWorkDone() });
  while (inFlight.reduce((sum, upload) => sum + upload.bytes, 0) > IN_FLIGHT_BYTES) await inFlight.shift()!.done;
}

/**
 * Copies rows [from, to) of a stored matrix to rows `at`, `at` + 1, … of y (N', K) f16 or f32,
 * whose rows are padded with zeros to a multiple of 8. It streams pieces of 8 MiB and reads one
 * while the GPU takes the previous one, so host memory does not grow with the tensor. It may return
 * before the GPU is done; work that is submitted later sees the rows. Throws UnsupportedError for
 * rows of more than 4 MiB.
 */
export async function castRows(
  device: Device,
  y: Tensor,
  stored: StoredMatrix,
  from: number,
  to: number,
  at = 0,
): Promise<void> {
  await withStaging(device, async () => {
    const staging = stagings.get(device)!;
    const k = stored.shape[1];
    const pitch = padTo8(k);
    const rowBytes = k * sourceBytes(stored.dtype);
    const same = (stored.dtype === 'F16' && y.dtype === 'f16') || (stored.dtype === 'F32' && y.dtype === 'f32');
    const rowsPerChunk = Math.floor(CHUNK_BYTES / rowBytes) & ~1; // even, so that chunks of f16 start on whole words
    if (rowsPerChunk === 0)
      throw new UnsupportedError(
        `${stored.label}: got rows of ${rowBytes} bytes, expected at most ${CHUNK_BYTES / 2}. Is this a matrix of weights?`,
      );
    const memory: Uint8Array<ArrayBuffer>[] = []; // one is filled while the other is uploaded
    const read = (row: number): Promise<Uint8Array<ArrayBuffer>> => {
      const into = (memory[((row - from) / rowsPerChunk) % 2] ??= staging.idle.pop() ?? new Uint8Array(CHUNK_BYTES));
      return stored.read(row * rowBytes, Math.min(to, row + rowsPerChunk) * rowBytes, into);
    };
    const program =
      same && k === pitch ? undefined : await recordCast(device, y, stored, staging, Math.min(rowsPerChunk, to - from));
    try {
      let coming = from < to ? read(from) : undefined;
      for (let row = from; row < to; row += rowsPerChunk) {
        const bytes = await coming!;
        const next = row + rowsPerChunk;
        coming = next < to ? read(next) : undefined;
        coming?.catch(() => {}); // thrown when it is awaited; unneeded after another error
        const first = at + row - from;
        if (program) program(bytes, Math.min(to, next) - row, first);
        else device.write(y, bytes, first * pitch * bytesPerElement(y.dtype));
        await paced(device, staging, bytes.byteLength);
      }
      staging.idle.push(...memory); // not after an error, when a read may still be writing into them
    } finally {
      program?.dispose();
    }
  });
}

/** A function that casts `count` ≤ `rows` rows of source bytes to rows `first`, … of y. */
async function recordCast(
  device: Device,
  y: Tensor,
  stored: StoredMatrix,
  { source, params }: Staging,
  rows: number,
): Promise<((bytes: Uint8Array, count: number, first: number) => void) & { dispose(): void }> {
  const k = stored.shape[1];
  const pitch = padTo8(k);
  const groups = Math.ceil((rows * pitch) / (8 * 64 * TURNS));
  const width = Math.min(groups, 32768);
  const program = await record(
    device,
    (r) =>
      r.dispatch(shader('cast'), {
        overrides: { K: k, PITCH: pitch, SOURCE: SOURCES[stored.dtype], WEIGHTS_F32: y.dtype === 'f32' ? 1 : 0 },
        bind: { params, source, y },
        grid: [width, Math.ceil(groups / width)],
      }),
    { label: `cast ${stored.label}` },
  );
  const run = (bytes: Uint8Array, count: number, first: number): void => {
    device.write(params, Uint32Array.of(count, first, width));
    device.write(source, bytes);
    program.run();
  };
  return Object.assign(run, { dispose: () => program.dispose() });
}
