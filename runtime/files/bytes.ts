// Files as runs of bytes: ranges that are checked, paths that stay inside their folder, files on
// disk and Blobs. Knows no folders:
// where a model lies is open_source.ts's.
import { WeightsError } from '../base/errors.ts';
import type { ByteSource } from './model_source.ts';

const READ_AT_ONCE = 2 ** 30; // Node's read() takes at most 2^31 - 1 bytes

/**
 * The parts of a path inside the folder. Refuses, before any file is touched, whatever could leave
 * it: '..', absolute and drive paths, backslashes. Symbolic links are the owner's own doing and are
 * followed (the Hub's cache is made of them).
 */
export function pathParts(label: string, path: string): string[] {
  const parts = path.split('/').filter((part) => part !== '' && part !== '.');
  if (parts.length === 0 || path.startsWith('/') || parts.includes('..') || /[\\\0]|^[a-z]:/i.test(path)) {
    throw new WeightsError(
      `${label}: got the path ${JSON.stringify(path)}, expected one inside the folder. Do not use this model before you know who made it.`,
    );
  }
  return parts;
}

/** Refuses, before anything is allocated or asked for, ranges that the file does not have. */
export function checkedRanges(file: ByteSource): ByteSource {
  const { label, size } = file;
  const check = (start: number, end: number) => {
    if (!(Number.isSafeInteger(start) && Number.isSafeInteger(end) && 0 <= start && start <= end)) {
      throw new WeightsError(`${label}: got the byte range [${start}, ${end}), expected whole numbers in order.`);
    }
    if (end > size) throw tooShort(label, size, end);
  };
  return {
    label,
    size,
    async read(start, end) {
      check(start, end);
      return start === end ? new Uint8Array(0) : file.read(start, end);
    },
    ...(file.readInto && {
      async readInto(target: Uint8Array<ArrayBuffer>, start: number) {
        check(start, start + target.length);
        if (target.length > 0) await file.readInto!(target, start);
      },
    }),
    close: () => file.close(),
  };
}

function tooShort(label: string, size: number, end: number): WeightsError {
  return new WeightsError(`${label}: got a file of ${size} bytes, expected at least ${end}. Fetch the file again.`);
}

export function missingFile(label: string, path: string, cause?: unknown): WeightsError {
  return new WeightsError(`${label}: got no file ${JSON.stringify(path)}, expected one. Is the folder complete?`, {
    cause,
  });
}

/** Bytes [start, end), in `into` where it is large enough and the source can. */
export async function readUsing(
  bytes: ByteSource,
  start: number,
  end: number,
  into?: Uint8Array<ArrayBuffer>,
): Promise<Uint8Array<ArrayBuffer>> {
  if (!into || !bytes.readInto || into.length < end - start) return bytes.read(start, end);
  const target = into.subarray(0, end - start);
  await bytes.readInto(target, start);
  return target;
}

/** A file on disk, in Node and Deno. Throws `WeightsError` where it cannot be read. */
export async function openFile(name: string): Promise<ByteSource> {
  const fs = await import('node:fs/promises');
  const failed = (cause: unknown) => {
    throw unreadable(name, cause);
  };
  const handle = await fs.open(name, 'r').catch(failed);
  const { size } = await handle.stat().catch(failed);
  let open = true;
  const readInto = async (target: Uint8Array<ArrayBuffer>, start: number) => {
    for (let done = 0; done < target.length;) {
      const length = Math.min(target.length - done, READ_AT_ONCE);
      const { bytesRead } = await handle.read(target, done, length, start + done).catch(failed);
      // someone cut the file after it was opened
      if (bytesRead === 0) throw tooShort(name, start + done, start + target.length);
      done += bytesRead;
    }
  };
  return checkedRanges({
    label: name,
    size,
    async read(start, end) {
      const bytes = new Uint8Array(end - start);
      await readInto(bytes, start);
      return bytes;
    },
    readInto,
    async close() {
      if (open) await handle.close();
      open = false;
    },
  });
}

export function unreadable(name: string, cause: unknown): WeightsError {
  const reason = (cause as NodeJS.ErrnoException)?.code ?? String(cause);
  return new WeightsError(`${name}: got ${reason}, expected to read it. Check its permissions.`, { cause });
}

/** A Blob or File as a byte source; nothing is read before it is asked for. */
export function blobBytes(blob: Blob, label: string): ByteSource {
  return checkedRanges({
    label,
    size: blob.size,
    async read(start, end) {
      const bytes = await blob
        .slice(start, end)
        .arrayBuffer()
        .catch((cause: unknown) => {
          throw unreadable(label, cause);
        });
      if (bytes.byteLength !== end - start) throw tooShort(label, start + bytes.byteLength, end);
      return new Uint8Array(bytes);
    },
    async close() {},
  });
}
