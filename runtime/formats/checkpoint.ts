// A checkpoint is names, shapes, dtypes and ranged reads of one tensor at a time, whatever file
// they lie in.
// Formats (open_checkpoint.ts) each make one; weights are uploaded from it tensor by tensor, so
// host memory stays flat.

import { WeightsError } from '../base/errors.ts';
import { shown } from '../base/messages.ts';

/** dtype spellings of safetensors; the only ones that weights come in. */
export type StoredDType =
  | 'F32'
  | 'F16'
  | 'BF16'
  | 'F64'
  | 'BOOL'
  | 'I64'
  | 'I32'
  | 'I16'
  | 'I8'
  | 'U8'
  | 'U16'
  | 'U32'
  | 'U64';

/** Bytes of one value. */
export const itemBytes: Readonly<Record<StoredDType, number>> = {
  BOOL: 1, I8: 1, U8: 1, I16: 2, U16: 2, F16: 2, BF16: 2, I32: 4, U32: 4, F32: 4, I64: 8, U64: 8, F64: 8,
}; // prettier-ignore

export interface TensorInfo {
  readonly name: string;
  readonly dtype: StoredDType;
  readonly shape: readonly number[];
  readonly byteLength: number;
  /**
   * Tensors of one checkpoint with the same `identity` are one and the same, such as tied weights
   * in a PyTorch file.
   */
  readonly identity?: string;
}

/** Row-major tensors by name. `read` gives bytes [start, end) of one tensor, little-endian. */
export interface Checkpoint {
  /** What errors call it: a path or URL. */
  readonly label: string;
  /** Where there are several files: the one that a tensor of this name lies in, or would lie in. */
  labelOf?(name: string): string;
  names(): string[];
  has(name: string): boolean;
  /** Throws `WeightsError` naming the nearest existing names when there is none. */
  info(name: string): TensorInfo;
  /**
   * `into`: memory that may be used for the result, if it is large enough; otherwise it is freshly
   * allocated.
   */
  read(name: string, start?: number, end?: number, into?: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>>;
  close(): Promise<void>;
}

/**
 * Bytes [start, end) of one tensor, all of them without arguments. Throws `WeightsError` for a
 * range that it does not have.
 */
export function tensorRange(
  label: string,
  { name, byteLength }: TensorInfo,
  start = 0,
  end = byteLength,
): [start: number, end: number] {
  if (0 <= start && start <= end && end <= byteLength) return [start, end];
  throw new WeightsError(
    `${label}: got the byte range [${start}, ${end}) of ${shown(name)}, expected one inside its ${byteLength} bytes.`,
  );
}
