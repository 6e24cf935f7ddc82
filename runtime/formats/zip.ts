// Zip archives over a ByteSource: the directory, where a stored member's bytes lie, and whole small
// members, checked; and the writing of archives of stored members. It does not extract to disk, and
// reads neither encrypted archives nor ones in parts.
// The reading is zip.js's, without its workers and its wasm; here are the limits that it leaves to
// its caller: how much a directory may make it read and hold, no overlap, no name twice, and
// nothing allocated that only a header claims.
// Members read by range are not held against their CRC-32, since that would mean reading all of
// them; `bytes` does check.
// Reference: PKWARE's APPNOTE 6.3.10 (ZIP64 included).

import {
  Reader,
  Uint8ArrayReader,
  Uint8ArrayWriter,
  ZipReader,
  ZipWriter,
  type Entry,
  type FileEntry,
} from '@zip.js/zip.js/lib/zip-core-custom.js';
import { WeightsError } from '../base/errors.ts';
import { shown } from '../base/messages.ts';
import { kindOf } from '../files/file_kind.ts';
import type { ByteSource } from '../files/model_source.ts';

interface ZipMember {
  readonly name: string;
  /**
   * Bytes of its content, as the directory says; for a deflated one nothing has shown yet that this
   * is true.
   */
  readonly size: number;
  /** Neither compressed nor encrypted: its bytes can be read in place. */
  readonly stored: boolean;
}

export interface Zip {
  readonly members: ReadonlyMap<string, ZipMember>;
  /**
   * Where the bytes of a stored member begin in the file; all `size` of them lie inside it. Reads
   * the member's local header.
   */
  start(name: string): Promise<number>;
  /**
   * A whole member, inflated where it is deflated, of at most `limit` bytes and with the CRC-32
   * that the directory says.
   */
  bytes(name: string, limit: number): Promise<Uint8Array<ArrayBuffer>>;
}

const MAX_MEMBERS = 10_000;
const MAX_READ = 16 * 2 ** 20; // a directory of MAX_MEMBERS long names
const MAX_READS = 300; // what searching for the directory may take; an ordinary file needs three
const MAX_RATIO = 1032; // what deflate can reach
// What zip.js remarks on in sound archives; the first because PyTorch always adds the ZIP64
// records, needed or not.
const harmless: ReadonlySet<string> = new Set([
  'trailing central directory data',
  'unsorted central directory',
  'unknown version needed to extract',
  'malformed extra field',
]);
const LOCAL_HEADER = 30;
const NO_END = 'End of central directory not found'; // zip.js's words
const STORED = 0;
const DEFLATED = 8;

/**
 * Reads an archive's directory. Throws `WeightsError` for what is no sound zip; `file` stays the
 * caller's to close.
 */
export async function openZip(file: ByteSource): Promise<Zip> {
  const { label } = file;
  const reader = new SourceReader(file);
  const zip = new ZipReader(reader, {
    useWebWorkers: false,
    maxAppendedDataSize: 0,
    filenameValidation: 'tolerant',
    checkSignature: true,
  });
  const entries = await readDirectory(file, zip);
  reader.inDirectory = false;

  const find = (name: string) => {
    const entry = entries.get(name);
    if (!entry)
      throw new WeightsError(
        `${label}: got a zip archive without ${shown(name)}, expected it there. Fetch the file again.`,
      );
    return entry;
  };
  return {
    members: new Map(
      [...entries].map(([name, { uncompressedSize, compressionMethod }]) => [
        name,
        { name, size: uncompressedSize, stored: compressionMethod === STORED },
      ]),
    ),
    async start(name) {
      const entry = find(name);
      if (entry.compressionMethod !== STORED)
        throw damaged(label, `${shown(name)} deflated`, 'it stored, to read it in place');
      const header = await file.read(
        entry.offset,
        Math.min(entry.offset + LOCAL_HEADER + entry.rawFilename.length, file.size),
      );
      const view = new DataView(header.buffer, header.byteOffset, header.length);
      const sameName = entry.rawFilename.every((byte, i) => byte === header[LOCAL_HEADER + i]);
      if (
        header.length < LOCAL_HEADER ||
        view.getUint32(0, true) !== 0x04034b50 ||
        view.getUint16(26, true) !== entry.rawFilename.length ||
        !sameName
      ) {
        throw damaged(label, `no local header of ${shown(name)} at byte ${entry.offset}`, 'one');
      }
      const start = entry.offset + LOCAL_HEADER + view.getUint16(26, true) + view.getUint16(28, true);
      if (start + entry.uncompressedSize > entry.end)
        throw damaged(
          label,
          `${shown(name)} up to byte ${start + entry.uncompressedSize}`,
          `it to end by ${entry.end}`,
        );
      return start;
    },
    async bytes(name, limit) {
      const entry = find(name);
      const { uncompressedSize: size, compressedSize } = entry;
      if (size > Math.min(limit, compressedSize * MAX_RATIO)) {
        throw new WeightsError(
          `${label}/${name}: got a size of ${size} bytes, expected at most ${Math.min(limit, compressedSize * MAX_RATIO)}. Fetch the file again.`,
        );
      }
      const chunks: Uint8Array[] = [];
      // zip.js ends at the first byte beyond `size`
      const sink = new WritableStream<Uint8Array>({ write: (chunk) => void chunks.push(chunk) });
      await entry.getData(sink, {}).catch((cause: unknown) => {
        throw cause instanceof WeightsError
          ? cause
          : damaged(`${label}/${name}`, `a member that is not read (${reasonOf(cause)})`, 'undamaged bytes', cause);
      });
      const whole = new Uint8Array(size);
      let at = 0;
      for (const chunk of chunks) {
        whole.set(chunk, at);
        at += chunk.length;
      }
      return whole;
    },
  };
}

/**
 * An archive of stored members with sizes in their headers and no date, so that the same members
 * make the same bytes.
 */
export async function writeZip(members: Readonly<Record<string, Uint8Array>>): Promise<Uint8Array<ArrayBuffer>> {
  const options = {
    level: 0,
    useWebWorkers: false,
    extendedTimestamp: false,
    dataDescriptor: false,
    lastModDate: new Date(1980, 0, 1),
  };
  const zip = new ZipWriter(new Uint8ArrayWriter(), options);
  for (const [name, bytes] of Object.entries(members)) await zip.add(name, new Uint8ArrayReader(bytes));
  return (await zip.close()) as Uint8Array<ArrayBuffer>;
}

/**
 * What zip.js reads through. While it looks for the directory, it may read this much and no more,
 * whatever headers say.
 */
class SourceReader extends Reader<ByteSource> {
  inDirectory = true;
  readonly #file: ByteSource;
  #reads = 0;

  constructor(file: ByteSource) {
    super(file);
    this.#file = file;
    this.size = file.size;
  }

  override async readUint8Array(offset: number, length: number): Promise<Uint8Array> {
    const { label, size } = this.#file;
    if (length > MAX_READ) throw damaged(label, `a zip directory of ${length} bytes`, `at most ${MAX_READ}`);
    if (this.inDirectory && ++this.#reads > MAX_READS)
      throw damaged(label, 'a zip directory that points to many places', 'one that is found at once');
    const end = Math.min(offset + length, size);
    return offset < 0 || end <= offset ? new Uint8Array(0) : this.#file.read(offset, end);
  }
}

interface Found extends Pick<
  FileEntry,
  'offset' | 'rawFilename' | 'compressionMethod' | 'compressedSize' | 'uncompressedSize' | 'getData'
> {
  /** Where the next member, or the directory, begins. */
  end: number;
}

async function readDirectory(file: ByteSource, zip: ZipReader<unknown>): Promise<Map<string, Found>> {
  const { label } = file;
  const entries = new Map<string, Found>();
  let count = 0;
  try {
    for await (const entry of zip.getEntriesGenerator()) {
      if (++count > MAX_MEMBERS) throw damaged(label, `more than ${MAX_MEMBERS} members`, 'fewer');
      checkMember(label, entry);
      if (entry.directory) continue;
      if (entries.has(entry.filename)) throw damaged(label, `${shown(entry.filename)} twice`, 'each name once');
      entries.set(entry.filename, { ...pick(entry), end: 0 });
    }
  } catch (cause) {
    if (cause instanceof WeightsError) throw cause;
    if ((cause as Error)?.message === NO_END && (await kindOf(file)) === 'zip') {
      throw new WeightsError(
        `${label}: got a zip archive without its end after ${file.size} bytes, expected all of it. The download was cut; fetch the file again.`,
        { cause },
      );
    }
    throw damaged(label, `bytes that are no zip archive (${reasonOf(cause)})`, 'one', cause);
  }
  const doubt = zip.warnings?.find(({ reason }) => !harmless.has(reason));
  if (doubt) throw damaged(label, `a zip archive that readers may differ about (${doubt.reason})`, 'a plain one');
  let end = zip.directoryOffset ?? 0;
  for (const [name, entry] of [...entries].toSorted(([, a], [, b]) => b.offset - a.offset)) {
    if (entry.offset + LOCAL_HEADER + entry.rawFilename.length + entry.compressedSize > end) {
      throw damaged(
        label,
        `${shown(name)} of ${entry.compressedSize} bytes at byte ${entry.offset}`,
        `it to end by ${end}: members must not overlap`,
      );
    }
    entry.end = end;
    end = entry.offset;
  }
  return entries;
}

function checkMember(label: string, entry: Entry): void {
  const { filename, compressionMethod, compressedSize, uncompressedSize, encrypted } = entry;
  if (encrypted)
    throw new WeightsError(
      `${label}: got ${shown(filename)} encrypted, expected a plain archive. Unpack it and pack it again without a password.`,
    );
  if (compressionMethod !== STORED && compressionMethod !== DEFLATED) {
    throw new WeightsError(
      `${label}: got ${shown(filename)} with zip compression ${compressionMethod}, expected stored or deflated. Save it again.`,
    );
  }
  if (compressionMethod === STORED && compressedSize !== uncompressedSize) {
    throw damaged(label, `${shown(filename)} stored in ${compressedSize} bytes`, `its size of ${uncompressedSize}`);
  }
}

/** The few fields that are needed: what zip.js keeps of a member is large. */
function pick({
  offset,
  rawFilename,
  compressionMethod,
  compressedSize,
  uncompressedSize,
  getData,
}: FileEntry): Omit<Found, 'end'> {
  return { offset, rawFilename, compressionMethod, compressedSize, uncompressedSize, getData };
}

function reasonOf(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause);
  return 'reason' in cause ? `${cause.message}: ${String(cause.reason)}` : cause.message;
}

function damaged(label: string, got: string, expected: string, cause?: unknown): WeightsError {
  return new WeightsError(`${label}: got ${got}, expected ${expected}. The file is damaged; fetch it again.`, {
    cause,
  });
}
