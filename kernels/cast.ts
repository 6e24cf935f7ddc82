// Stored tensors to weights on the GPU: the f32 → f16 cast and the padding of rows happen there, so that loading is bound by the disk.

import type { Device } from '../runtime/device.ts';
import { record } from '../runtime/program.ts';
import { bytesPerElement, padTo8, type Tensor } from '../runtime/tensor.ts';
import { shader } from './shaders.ts';
import { createUniform } from './state.ts';

export type SourceDType = 'F32' | 'F16' | 'BF16';
const SOURCES = { F32: 0, F16: 1, BF16: 2 } as const;
const sourceBytes = (dtype: SourceDType): number => (dtype === 'F32' ? 4 : 2);

/** Bytes that go to the GPU in one piece; small enough that Dawn's and the browser's staging memory stays small. */
const CHUNK_BYTES = 8 << 20;

/** A matrix (N, K) as it is stored; `read` gives bytes [start, end) of it. */
export interface StoredMatrix {
  readonly label: string;
  readonly shape: readonly [n: number, k: number];
  readonly dtype: SourceDType;
  read(start: number, end: number): Promise<Uint8Array<ArrayBuffer>>;
}

/**
 * Rows [from, to) of a stored matrix to rows `at` … of y (N', K) f16 or f32, whose rows are padded with zeros to a multiple of 8.
 * Streams in pieces of 8 MiB: host memory does not grow with the tensor.
 */
export async function castRows(device: Device, y: Tensor, stored: StoredMatrix, from: number, to: number, at = 0): Promise<void> {
  const k = stored.shape[1];
  const pitch = padTo8(k);
  const rowBytes = k * sourceBytes(stored.dtype);
  const same = (stored.dtype === 'F16' && y.dtype === 'f16') || (stored.dtype === 'F32' && y.dtype === 'f32');
  const rowsPerChunk = Math.max(2, Math.floor(CHUNK_BYTES / rowBytes) & ~1); // even: chunks of halves start on whole words
  let pieces: Awaited<ReturnType<typeof caster>> | undefined;
  try {
    for (let row = from; row < to; row += rowsPerChunk) {
      const end = Math.min(to, row + rowsPerChunk);
      const bytes = await stored.read(row * rowBytes, end * rowBytes);
      const first = at + row - from;
      if (same && k === pitch) {
        device.write(y, bytes, first * pitch * bytesPerElement(y.dtype));
      } else {
        pieces ??= await caster(device, y, stored, Math.min(rowsPerChunk, to - from));
        pieces.run(bytes, end - row, first);
      }
      if (end < to || pieces) await device.gpu.queue.onSubmittedWorkDone(); // the staging buffer is used again, and uploads must not pile up
    }
  } finally {
    pieces?.dispose();
  }
}

async function caster(device: Device, y: Tensor, stored: StoredMatrix, rows: number): Promise<{ run(bytes: Uint8Array, count: number, first: number): void; dispose(): void }> {
  const k = stored.shape[1];
  const pitch = padTo8(k);
  const source = device.createTensor([Math.ceil((rows * k * sourceBytes(stored.dtype)) / 4)], 'u32', 'staging', `${stored.label} staging`);
  const params = createUniform(device, 3, 'staging', 'cast params');
  const groups = Math.ceil((rows * pitch) / 128);
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
  return {
    run(bytes, count, first) {
      device.write(params, Uint32Array.of(count, first, width));
      device.write(source, bytes);
      program.run();
    },
    dispose() {
      program.dispose();
      device.destroyBuffer(params.buffer);
      device.destroyBuffer(source.buffer);
    },
  };
}
