// Stored tensors to weights on the GPU: the f32 → f16 cast and the padding of rows happen there, so
// that loading is bound by the disk.

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
 * Bytes that go to the GPU in one piece; small enough that Dawn's and the browser's staging memory
 * stays small.
 */
const CHUNK_BYTES = 8 << 20;
const TURNS = 8; // of cast.wgsl
const IN_FLIGHT_BYTES = 2 * CHUNK_BYTES;

/**
 * A matrix (N, K) as it is stored; `read` gives bytes [start, end) of it, in `into` where it can.
 */
export interface StoredMatrix {
  readonly label: string;
  readonly shape: readonly [n: number, k: number];
  readonly dtype: SourceDType;
  read(start: number, end: number, into?: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>>;
}

/**
 * What casts on one device share: loading a model makes thousands of pieces, and a staging buffer
 * for each tensor would cost more than the cast.
 */
interface Staging {
  readonly source: Tensor;
  readonly params: Tensor;
  /** Uploads that the GPU has not confirmed, the oldest first. */
  readonly inFlight: { bytes: number; done: Promise<undefined> }[];
  /**
   * Host memory of CHUNK_BYTES that no call reads into: new memory for each piece would cost as
   * much as reading it.
   */
  readonly idle: Uint8Array<ArrayBuffer>[];
  holders: number;
}

const stagings = new WeakMap<Device, Staging>();

/** Keeps the staging memory of `castRows` while `run` makes many calls. */
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
 * Waits until no more uploads than `IN_FLIGHT_BYTES` are under way: what the GPU has not taken yet
 * lies in host memory.
 */
async function paced(device: Device, { inFlight }: Staging, bytes: number): Promise<void> {
  inFlight.push({ bytes, done: device.gpu.queue.onSubmittedWorkDone() });
  while (inFlight.reduce((sum, upload) => sum + upload.bytes, 0) > IN_FLIGHT_BYTES) await inFlight.shift()!.done;
}

/**
 * Rows [from, to) of a stored matrix to rows `at` … of y (N', K) f16 or f32, whose rows are padded
 * with zeros to a multiple of 8. Streams in pieces of 8 MiB, one being read while the GPU takes the
 * last: host memory does not grow with the tensor. May return before the GPU is done; what is
 * submitted later sees the rows.
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
    const rowsPerChunk = Math.floor(CHUNK_BYTES / rowBytes) & ~1; // even: chunks of halves start on whole words
    if (rowsPerChunk === 0)
      throw new UnsupportedError(
        `${stored.label}: got rows of ${rowBytes} bytes, expected at most ${CHUNK_BYTES / 2}. Is this a matrix of weights?`,
      );
    const memory: Uint8Array<ArrayBuffer>[] = []; // one is read into while the other is uploaded
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
        coming?.catch(() => {}); // seen when it is awaited, or not needed any more
        const first = at + row - from;
        if (program) program(bytes, Math.min(to, next) - row, first);
        else device.write(y, bytes, first * pitch * bytesPerElement(y.dtype));
        await paced(device, staging, bytes.byteLength);
      }
      staging.idle.push(...memory); // after an error a read may still be under way
    } finally {
      program?.dispose();
    }
  });
}

/** The cast of up to `rows` rows to rows `first` … of y. */
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
