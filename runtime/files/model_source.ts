// Where a model's files come from, and what reading them by ranges needs: the words that every
// source (a folder, a URL, the Hub, Blobs) and every format share.

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
  /** Files at most three folders deep, for messages; only places that can be listed have it. */
  names?(): Promise<string[]>;
  /** Another folder, by its path from this one; only folders on disk have it. */
  near?(path: string): Promise<ModelSource | undefined>;
}
