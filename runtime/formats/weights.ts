// Walks a checkpoint's names as paths, checks the shape of each tensor that a model asks for, and
// reads small ones on the CPU.
// Knows no model and uploads nothing: what a reference points at is read tensor by tensor where it
// is needed.
// Names stay the checkpoint's own:
// weights.at('semantic').at('layers.3.attn').tensor('att_proj.weight', [3 * C, C]).

import type { Checkpoint, TensorInfo } from './checkpoint.ts';
import { eachAtOnce } from '../base/each_at_once.ts';
import { InputError, WeightsError } from '../base/errors.ts';
import { bfloat16ToFloat32, float16ToFloat32 } from '../base/half.ts';
import { missingTensor } from '../base/messages.ts';

/** A tensor that is there and has the shape that was asked for; nothing of it is read yet. */
export interface TensorRef {
  /** The full path in the checkpoint. */
  readonly name: string;
  readonly info: TensorInfo;
  /**
   * Bytes [start, end) of the tensor, little-endian; all of it without arguments. `into`: see
   * `Checkpoint`.
   */
  read(start?: number, end?: number, into?: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>>;
}

/** A checkpoint seen from one path. */
export interface Weights {
  /** '' at the top. */
  readonly path: string;
  readonly checkpoint: Checkpoint;
  at(path: string): Weights;
  has(leaf: string): boolean;
  /**
   * The tensor `leaf` under this path. `hint` is the config key that gives the shape, for the
   * error.
   * Throws `WeightsError` when it is missing (with the nearest names) or has another shape.
   */
  tensor(leaf: string, shape: readonly number[], hint?: string): TensorRef;
  /** The first of several spellings that is there; `WeightsError` when none is. */
  either(...leaves: [string, ...string[]]): string;
}

export function walkWeights(checkpoint: Checkpoint, path = ''): Weights {
  const full = (leaf: string) => (path && leaf ? `${path}.${leaf}` : path || leaf);
  return {
    path,
    checkpoint,
    at: (next) => walkWeights(checkpoint, full(next)),
    has: (leaf) => checkpoint.has(full(leaf)),
    tensor(leaf, shape, hint) {
      const name = full(leaf);
      const label = checkpoint.labelOf?.(name) ?? checkpoint.label;
      if (!checkpoint.has(name)) throw missingTensor(label, [name], checkpoint.names());
      const info = checkpoint.info(name);
      if (info.shape.length !== shape.length || info.shape.some((size, axis) => size !== shape[axis])) {
        const reason = hint ? ` (from ${hint})` : '';
        throw new WeightsError(
          `${label}: got shape (${info.shape.join(', ')}) for ${name}, expected (${shape.join(', ')})${reason}. Is config.json that of these weights?`,
        );
      }
      return { name, info, read: (start, end, into) => checkpoint.read(name, start, end, into) };
    },
    either(...leaves) {
      const found = leaves.find((leaf) => checkpoint.has(full(leaf)));
      if (found === undefined)
        throw missingTensor(
          checkpoint.labelOf?.(full(leaves[0])) ?? checkpoint.label,
          leaves.map(full),
          checkpoint.names(),
        );
      return found;
    },
  };
}

/**
 * A whole tensor as float32, row-major: F32, F16, BF16 and F64 (rounded). For small ones; it lies
 * in host memory.
 */
export async function readFloat32(tensor: TensorRef): Promise<Float32Array<ArrayBuffer>> {
  itemSize(tensor);
  return toFloat32(tensor, await tensor.read());
}

const COMPARED = 2 ** 22; // bytes of one read

/**
 * Whether two tensors hold the same bytes. Reads both, a piece at a time, where they are not known
 * to be one.
 */
export async function sameValues(a: TensorRef, b: TensorRef): Promise<boolean> {
  if (a.info.dtype !== b.info.dtype || a.info.byteLength !== b.info.byteLength) return false;
  if (a.info.identity !== undefined && a.info.identity === b.info.identity) return true;
  for (let at = 0; at < a.info.byteLength; at += COMPARED) {
    const end = Math.min(at + COMPARED, a.info.byteLength);
    const [left, right] = await Promise.all([a.read(at, end), b.read(at, end)]);
    if (left.some((byte, i) => byte !== right[i])) return false;
  }
  return true;
}

const ROWS_GAP = 2 ** 15; // bytes worth reading over to save a request
const ROWS_RUN = 2 ** 22; // bytes of one read, so that host memory stays flat
const ROWS_READS = 8; // reads at once

/**
 * Rows of a table [V, H] as float32 [n, H], in the order asked for, repeats allowed; only these
 * rows are read, near ones together. Throws `InputError` for a row outside the table.
 */
export async function readRows(table: TensorRef, rows: ArrayLike<number>): Promise<Float32Array<ArrayBuffer>> {
  const size = itemSize(table);
  const [height, width] = table.info.shape;
  if (height === undefined || width === undefined || table.info.shape.length !== 2) {
    throw new WeightsError(`${table.name}: got shape (${table.info.shape.join(', ')}), expected a table (V, H).`);
  }
  const places = new Map<number, number[]>(); // row of the table → its places in the result
  for (let i = 0; i < rows.length; i++) {
    const row = rows[i]!;
    if (!Number.isInteger(row) || row < 0 || row >= height) {
      throw new InputError(
        `${table.name}: got row ${row}, expected one from 0 to ${height - 1}. Are these ids of this model's vocabulary?`,
      );
    }
    const at = places.get(row);
    if (at) at.push(i);
    else places.set(row, [i]);
  }

  const rowBytes = width * size;
  const runs: number[][] = [];
  for (const row of [...places.keys()].sort((a, b) => a - b)) {
    const run = runs.at(-1);
    const gap = run ? (row - run.at(-1)! - 1) * rowBytes : Infinity;
    if (run && gap <= ROWS_GAP && (row - run[0]! + 1) * rowBytes <= ROWS_RUN) run.push(row);
    else runs.push([row]);
  }

  const out = new Float32Array(rows.length * width);
  const readRun = async (run: number[]) => {
    const first = run[0]!;
    const floats = toFloat32(table, await table.read(first * rowBytes, (run.at(-1)! + 1) * rowBytes));
    for (const row of run) {
      const values = floats.subarray((row - first) * width, (row - first + 1) * width);
      for (const place of places.get(row)!) out.set(values, place * width);
    }
  };
  await eachAtOnce(runs, ROWS_READS, readRun);
  return out;
}

/** Bytes of one value; throws for what is not a float. */
function itemSize({ name, info }: TensorRef): number {
  if (info.dtype === 'F16' || info.dtype === 'BF16') return 2;
  if (info.dtype === 'F32') return 4;
  if (info.dtype === 'F64') return 8;
  throw new WeightsError(
    `${name}: got dtype ${info.dtype}, expected F32, F16, BF16 or F64. Are these a model's weights?`,
  );
}

/**
 * Little-endian bytes as float32. Every host of WebGPU is little-endian, so typed arrays read them
 * as they are.
 */
function toFloat32({ info }: TensorRef, bytes: Uint8Array<ArrayBuffer>): Float32Array<ArrayBuffer> {
  const { buffer, byteOffset, byteLength } = byteOffsetAligned(bytes);
  if (info.dtype === 'F16') return float16ToFloat32(new Uint16Array(buffer, byteOffset, byteLength / 2));
  if (info.dtype === 'BF16') return bfloat16ToFloat32(new Uint16Array(buffer, byteOffset, byteLength / 2));
  if (info.dtype === 'F64') return Float32Array.from(new Float64Array(buffer, byteOffset, byteLength / 8));
  return new Float32Array(buffer, byteOffset, byteLength / 4);
}

function byteOffsetAligned(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  return bytes.byteOffset % 8 === 0 ? bytes : bytes.slice();
}
