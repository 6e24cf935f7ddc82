// A checkpoint is names, shapes, dtypes and ranged reads of one tensor at a time, whatever file they lie in.
// Formats (safetensors today) each make one; weights are uploaded from it tensor by tensor, so host memory stays flat.

/** dtype spellings of safetensors; the only ones that weights come in. */
export type StoredDType = 'F32' | 'F16' | 'BF16' | 'F64' | 'BOOL' | 'I64' | 'I32' | 'I16' | 'I8' | 'U8' | 'U16' | 'U32' | 'U64';

export interface TensorInfo {
  readonly name: string;
  readonly dtype: StoredDType;
  readonly shape: readonly number[];
  readonly byteLength: number;
  /** Tensors of one checkpoint with the same `identity` are one and the same, such as tied weights in a PyTorch file. */
  readonly identity?: string;
}

/** Row-major tensors by name. `read` gives bytes [start, end) of one tensor, little-endian, freshly allocated. */
export interface Checkpoint {
  /** What errors call it: a path or URL. */
  readonly label: string;
  names(): string[];
  has(name: string): boolean;
  /** Throws `WeightsError` naming the nearest existing names when there is none. */
  info(name: string): TensorInfo;
  read(name: string, start?: number, end?: number): Promise<Uint8Array<ArrayBuffer>>;
  close(): Promise<void>;
}

/** A readable run of bytes: a file, a Blob, a URL with ranges. */
export interface ByteSource {
  readonly label: string;
  readonly size: number;
  /** Bytes [start, end). Throws `WeightsError` when the file ends before `end`. */
  read(start: number, end: number): Promise<Uint8Array<ArrayBuffer>>;
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
  /** Opens a file of the folder, after fetching it where that is needed; `WeightsError` with the folder's name when it is not there. */
  open(path: string, options?: OpenOptions): Promise<ByteSource>;
}
