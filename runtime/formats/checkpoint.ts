// A checkpoint is names, shapes, dtypes and ranged reads of one tensor at a time, whatever file
// they lie in.
// Formats (formats.ts) each make one; weights are uploaded from it tensor by tensor, so host memory
// stays flat.

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

/** A readable run of bytes: a file, a Blob, a URL with ranges. */
export interface ByteSource {
  readonly label: string;
  readonly size: number;
  /** Bytes [start, end). Throws `WeightsError` when the file ends before `end`. */
  read(start: number, end: number): Promise<Uint8Array<ArrayBuffer>>;
  /** The bytes from `start` on into all of `target`; only files on disk can. */
  readInto?(target: Uint8Array<ArrayBuffer>, start: number): Promise<void>;
  close(): Promise<void>;
}

/** How far the download of one file is. */
export interface DownloadProgress {
  /** Its path in the repository. */
  readonly file: string;
  /** Bytes that are here, what an earlier try fetched included, of `total`. */
  readonly done: number;
  readonly total: number;
}

export interface OpenOptions {
  /** Stops what fetches; opening a file that is here does not wait for it. */
  signal?: AbortSignal | undefined;
  onDownload?: ((progress: DownloadProgress) => void) | undefined;
}

/** The place a model lies in: a folder on disk, a base URL, a Hub repository, Blobs. */
export interface ModelSource {
  readonly label: string;
  has(path: string, options?: OpenOptions): Promise<boolean>;
  /**
   * Opens a file of the folder, after fetching it where that is needed; `WeightsError` with the
   * folder's name when it is not there.
   */
  open(path: string, options?: OpenOptions): Promise<ByteSource>;
}
