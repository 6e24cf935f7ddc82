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

/** Bytes of rows that are to be cast, and the cast's parameters. */
interface Source {
  readonly rows: Tensor;
  readonly params: Tensor;
  /** Resolves when nobody reads or writes the rows. */
  free: Promise<void>;
}

/**
 * Staging memory that all casts on one device share. Loading a model uploads thousands of pieces,
 * and a staging buffer for each tensor would cost more than the cast.
 */
interface Staging {
  /** One, or two where files are read straight into them. */
  readonly sources: readonly Source[];
  /** Uploads that the GPU has not completed yet, the oldest first. */
  readonly inFlight: { bytes: number; done: Promise<void> }[];
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
    const sources = Array.from({ length: device.kind === 'wasm' ? 2 : 1 }, () => ({
      rows: device.createTensor([CHUNK_BYTES / 4], 'u32', 'staging', 'cast source'),
      params: createUniform(device, 3, 'staging', 'cast params'),
      free: device.done(), // the memory may be about to be cleared
    }));
    staging = {
      sources,
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
      for (const { rows, params } of staging.sources)
        for (const { buffer } of [rows, params]) device.destroyBuffer(buffer); // free when the submitted work is done
    }
  }
}

/**
 * Registers an upload of `bytes`, then waits until at most IN_FLIGHT_BYTES are in flight, because
 * what the GPU has not copied yet occupies host memory.
 */
async function paced(device: Device, { inFlight }: Staging, bytes: number): Promise<void> {
  inFlight.push({ bytes, done: device.done() });
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
    const rowBytes = k * sourceBytes(stored.dtype);
    const rowsPerChunk = Math.floor(CHUNK_BYTES / rowBytes) & ~1; // even, so that chunks of f16 start on whole words
    if (rowsPerChunk === 0)
      throw new UnsupportedError(
        `${stored.label}: got rows of ${rowBytes} bytes, expected at most ${CHUNK_BYTES / 2}. Is this a matrix of weights?`,
      );
    const chunks = Array.from({ length: Math.ceil((to - from) / rowsPerChunk) }, (_, i) => {
      const row = from + i * rowsPerChunk;
      return { row, end: Math.min(to, row + rowsPerChunk), first: at + row - from };
    });
    const read = (chunk: number, into: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> =>
      stored.read(chunks[chunk]!.row * rowBytes, chunks[chunk]!.end * rowBytes, into);
    if (device.kind === 'wasm') await castInPlace(device, y, stored, staging, chunks, read);
    else await castThrough(device, y, stored, staging, chunks, read);
  });
}

/** Rows `row` … `end` − 1 of the source, which become rows from `first` on. */
interface Chunk {
  readonly row: number;
  readonly end: number;
  readonly first: number;
}

/** Reads a chunk, into the memory `into` where it can. */
type ReadChunk = (chunk: number, into: Uint8Array<ArrayBuffer>) => Promise<Uint8Array<ArrayBuffer>>;

/** Through memory of the host: one block is filled while the other is uploaded. */
async function castThrough(
  device: Device,
  y: Tensor,
  stored: StoredMatrix,
  staging: Staging,
  chunks: readonly Chunk[],
  read: ReadChunk,
): Promise<void> {
  const k = stored.shape[1];
  const same = (stored.dtype === 'F16' && y.dtype === 'f16') || (stored.dtype === 'F32' && y.dtype === 'f32');
  const memory: Uint8Array<ArrayBuffer>[] = [];
  const next = (i: number): Promise<Uint8Array<ArrayBuffer>> | undefined =>
    i < chunks.length ? read(i, (memory[i % 2] ??= staging.idle.pop() ?? new Uint8Array(CHUNK_BYTES))) : undefined;
  const source = staging.sources[0]!;
  const program = same && k === padTo8(k) ? undefined : await recordCast(device, y, stored, source, chunks[0]);
  try {
    let coming = next(0);
    for (const [i, { row, end, first }] of chunks.entries()) {
      const bytes = await coming!;
      coming = next(i + 1);
      coming?.catch(() => {}); // thrown when it is awaited; unneeded after another error
      if (program) {
        device.write(source.rows, bytes);
        program(end - row, first);
      } else device.write(y, bytes, first * k * bytesPerElement(y.dtype));
      await paced(device, staging, bytes.byteLength);
    }
    staging.idle.push(...memory); // not after an error, when a read may still be writing into them
  } finally {
    program?.dispose();
  }
}

/**
 * Straight into the device's memory, where its threads put the rows in order: of two blocks one is
 * filled while the other is cast.
 */
async function castInPlace(
  device: Device,
  y: Tensor,
  stored: StoredMatrix,
  { sources }: Staging,
  chunks: readonly Chunk[],
  read: ReadChunk,
): Promise<void> {
  const programs = await Promise.all(sources.map((source) => recordCast(device, y, stored, source, chunks[0])));
  const mine: Promise<void>[] = [];
  try {
    for (const [i, { row, end, first }] of chunks.entries()) {
      const source = sources[i % 2]!;
      // Calls that run at the same time share the blocks, so each waits for its turn.
      mine[i % 2] = source.free.then(async () => {
        const view = device.view(source.rows);
        const bytes = await read(i, view ?? new Uint8Array(CHUNK_BYTES));
        if (bytes.buffer !== view?.buffer) device.write(source.rows, bytes);
        else device.counters.uploadBytes += bytes.byteLength;
        programs[i % 2]!(end - row, first);
        await device.done();
      });
      source.free = mine[i % 2]!.catch(() => {}); // thrown below; whoever comes next has nothing to do with it
      await mine[(i + 1) % 2];
    }
    await Promise.all(mine);
  } finally {
    await Promise.allSettled(mine);
    for (const program of programs) program.dispose();
  }
}

/** A function that casts `count` rows of the source's bytes to rows `first`, … of y. */
async function recordCast(
  device: Device,
  y: Tensor,
  stored: StoredMatrix,
  { rows: source, params }: Source,
  largest: Chunk | undefined,
): Promise<((count: number, first: number) => void) & { dispose(): void }> {
  const k = stored.shape[1];
  const pitch = padTo8(k);
  const rows = largest ? largest.end - largest.row : 1;
  const groups = Math.ceil((rows * pitch) / (8 * 64 * TURNS));
  const width = Math.min(groups, 32768);
  const program = await record(
    device,
    (r) =>
      r.dispatch(shader('cast'), {
        overrides: { K: k, PITCH: pitch, SOURCE: SOURCES[stored.dtype], WEIGHTS_F32: y.dtype === 'f32' ? 1 : 0 },
        bind: { params, source, y: { ...y, shape: [y.shape[0]!, pitch] } }, // with what pads its rows
        grid: [width, Math.ceil(groups / width)],
      }),
    { label: `cast ${stored.label}` },
  );
  const run = (count: number, first: number): void => {
    device.write(params, Uint32Array.of(count, first, width));
    program.run();
  };
  return Object.assign(run, { dispose: () => program.dispose() });
}
