// Numbers for timing and for checking: deterministic, near ±1, and cheap in any quantity, because
// all are cut from one block that repeats. Every value is exact in f16, so a tensor holds the same
// numbers in f16 and in f32, and the host can compute any of them without keeping a copy.

import type { Device } from '../../runtime/compute/device.ts';
import { float16ToFloat32, float32ToFloat16 } from '../../runtime/base/half.ts';
import type { Owner } from '../../runtime/compute/ledger.ts';
import { matrixOf, placeInPanels } from '../../kernels/upload/matrix.ts';
import { elements, type Tensor } from '../../runtime/compute/tensor.ts';

/** Number of values before they repeat. It is prime, so that the rows of a matrix differ. */
export const PERIOD = 262139;

let unit: Float32Array | undefined;

/** Pseudo-random numbers in [-1, 1), the same in every run. */
function unitBlock(): Float32Array {
  if (unit) return unit;
  let a = 0x9e3779b9;
  return (unit = Float32Array.from({ length: PERIOD }, () => {
    a = Math.imul(a ^ (a >>> 15), 0x2c1b3c6d) + 0x6d2b79f5;
    return (a >>> 8) / 2 ** 23 - 1;
  }));
}

interface Block {
  readonly halves: Uint16Array<ArrayBuffer>;
  readonly floats: Float32Array<ArrayBuffer>;
}

const blocks = new Map<string, Block>();

function blockOf(scale: number, offset: number): Block {
  const key = `${scale} ${offset}`;
  let block = blocks.get(key);
  if (!block) {
    const halves = float32ToFloat16(unitBlock().map((v) => v * scale + offset));
    blocks.set(key, (block = { halves, floats: float16ToFloat32(halves) }));
  }
  return block;
}

/** An endless sequence of values: the block from `phase` on, repeated. */
export interface Series {
  at(i: number): number;
  /** Fills `target` with the bytes from `start` on of the sequence stored as `dtype`. */
  copy(dtype: 'f16' | 'f32', target: Uint8Array, start: number): void;
}

export function series(phase: number, scale = 1, offset = 0): Series {
  const block = blockOf(scale, offset);
  return {
    at: (i) => block.floats[(phase + i) % PERIOD]!,
    copy(dtype, target, start) {
      const width = dtype === 'f16' ? 2 : 4;
      const bytes = new Uint8Array((dtype === 'f16' ? block.halves : block.floats).buffer);
      for (let done = 0; done < target.length;) {
        const from = (width * (phase % PERIOD) + start + done) % bytes.length;
        const n = Math.min(target.length - done, bytes.length - from);
        target.set(bytes.subarray(from, from + n), done);
        done += n;
      }
    },
  };
}

/** A matrix of weights with the first values of a sequence, in the order that the device reads. */
export function filledMatrix(
  device: Device,
  values: Series,
  shape: readonly [n: number, k: number],
  dtype: 'f16' | 'f32',
  owner: Owner,
  label: string,
): Tensor {
  if (device.kind !== 'wasm') return filled(device, values, shape, dtype, owner, label);
  const numbers = new Float32Array(elements(shape));
  values.copy('f32', new Uint8Array(numbers.buffer), 0);
  return matrixOf(device, numbers, shape, dtype, owner, label);
}

/** A matrix (N, K), N a multiple of 16, as its bytes are in a file: row by row. */
export async function readMatrix(device: Device, t: Tensor): Promise<Uint8Array> {
  const bytes = await device.read(t);
  if (device.kind !== 'wasm') return new Uint8Array(bytes);
  const stored = t.dtype === 'f16' ? new Uint16Array(bytes) : new Uint32Array(bytes);
  const [n, k] = t.shape as [number, number];
  const rows = stored.slice();
  for (let row = 0; row < n; row++)
    for (let c = 0; c < k; c++) rows[row * k + c] = stored[placeInPanels(row, c, k, t.dtype as 'f16' | 'f32')]!;
  return new Uint8Array(rows.buffer);
}

const CHUNK = 8 << 20;

/** A tensor on the GPU that holds the first values of a sequence. */
export function filled(
  device: Device,
  values: Series,
  shape: readonly number[],
  dtype: 'f16' | 'f32',
  owner: Owner,
  label: string,
): Tensor {
  const t = device.createTensor(shape, dtype, owner, label);
  const bytes = elements(shape) * (dtype === 'f16' ? 2 : 4);
  for (let at = 0; at < bytes; at += CHUNK) {
    const piece = new Uint8Array(Math.min(CHUNK, bytes - at));
    values.copy(dtype, piece, at);
    device.write(t, piece, at);
  }
  return t;
}
