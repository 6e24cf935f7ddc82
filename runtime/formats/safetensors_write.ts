// Writes a safetensors file to a path, tensor by tensor and piece by piece, so that host memory
// stays flat whatever its size.
// The file appears under its name when it is whole and on the disk, or not at all. Node and Deno; a
// browser has no files.
// Reference: github.com/huggingface/safetensors, "Format"; its serializer's order: wide dtypes
// first, then by name.

import { itemBytes, type StoredDType } from './checkpoint.ts';
import { InputError, UnsupportedError, WeightsError } from '../base/errors.ts';
import { host } from '../host/platform.ts';
import { replaceFile } from '../host/write_file.ts';

export interface TensorToWrite {
  readonly name: string;
  readonly dtype: StoredDType;
  readonly shape: readonly number[];
  /** The tensor's bytes, row-major, little-endian, in pieces; asked for when its turn comes. */
  data(): AsyncIterable<Uint8Array>;
}

export interface SafetensorsWriteOptions {
  /** What stands in `__metadata__`. Default `{ format: 'pt' }`, which transformers asks for. */
  metadata?: Readonly<Record<string, string>> | undefined;
  signal?: AbortSignal | undefined;
  /** Called with the bytes of the file that are written, and all of them. */
  onBytes?: ((done: number, total: number) => void) | undefined;
}

/**
 * The header, and the tensors in the order in which their bytes follow it. Throws `InputError` for
 * a name that comes twice.
 */
export function safetensorsLayout(
  tensors: readonly TensorToWrite[],
  metadata: Readonly<Record<string, string>> = { format: 'pt' },
): { header: Uint8Array<ArrayBuffer>; order: TensorToWrite[]; size: number } {
  const order = tensors.toSorted((a, b) => itemBytes[b.dtype] - itemBytes[a.dtype] || (a.name < b.name ? -1 : 1));
  const entries: [string, unknown][] = [['__metadata__', metadata]];
  const names = new Set(['__metadata__']);
  let at = 0;
  for (const tensor of order) {
    if (names.has(tensor.name))
      throw new InputError(`safetensors: got the name ${JSON.stringify(tensor.name)} twice, expected each once.`);
    names.add(tensor.name);
    entries.push([
      tensor.name,
      { dtype: tensor.dtype, shape: tensor.shape, data_offsets: [at, (at += byteCount(tensor))] },
    ]);
  }
  // By hand, because an object would put names that look like numbers first.
  const json = new TextEncoder().encode(
    `{${entries.map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`).join(',')}}`,
  );
  const padded = Math.ceil(json.length / 8) * 8;
  const header = new Uint8Array(8 + padded).fill(0x20);
  new DataView(header.buffer).setBigUint64(0, BigInt(padded), true);
  header.set(json, 8);
  return { header, order, size: header.length + at };
}

/** Bytes of a whole tensor. */
function byteCount({ dtype, shape }: Pick<TensorToWrite, 'dtype' | 'shape'>): number {
  return shape.reduce((product, size) => product * size, itemBytes[dtype]);
}

/**
 * Writes the file and returns its size in bytes. Throws `InputError` where it cannot be written,
 * `WeightsError` for a tensor whose bytes are not as many as its shape says, and the signal's
 * reason when aborted; then nothing is left behind.
 */
export async function writeSafetensors(
  path: string,
  tensors: readonly TensorToWrite[],
  { metadata, signal, onBytes }: SafetensorsWriteOptions = {},
): Promise<number> {
  if (host === 'browser')
    throw new UnsupportedError(`${path}: got a path, expected none: a browser cannot write files.`);
  const { header, order, size } = safetensorsLayout(tensors, metadata);
  const fs = await import('node:fs/promises');
  const failed = (cause: unknown): never => {
    const code = (cause as NodeJS.ErrnoException).code ?? String(cause);
    throw new InputError(
      `${path}: got ${code} while writing, expected a writable file. Check its permissions and the free space.`,
      { cause },
    );
  };
  await replaceFile(path, async (temporary) => {
    const file = await fs.open(temporary, 'wx').catch(failed);
    try {
      let done = 0;
      const put = async (bytes: Uint8Array) => {
        signal?.throwIfAborted();
        for (let from = 0; from < bytes.length;) {
          const { bytesWritten } = await file.write(bytes, from, bytes.length - from).catch(failed);
          from += bytesWritten;
        }
        done += bytes.length;
        onBytes?.(done, size);
      };
      await put(header);
      for (const tensor of order) {
        const end = done + byteCount(tensor);
        for await (const bytes of tensor.data()) {
          if (done + bytes.length > end) throw wrongLength(path, tensor);
          await put(bytes);
        }
        if (done !== end) throw wrongLength(path, tensor);
      }
      signal?.throwIfAborted();
      await file.sync().catch(failed);
      await file.close().catch(failed);
    } catch (error) {
      await file.close().catch(() => {}); // what went wrong first is thrown
      throw error;
    }
  }).catch((error: unknown) => {
    throw (error as NodeJS.ErrnoException).syscall === 'rename' ? failed(error) : error;
  });
  return size;
}

function wrongLength(path: string, tensor: TensorToWrite): WeightsError {
  return new WeightsError(
    `${path}: got other than ${byteCount(tensor)} bytes for ${tensor.name}, expected what its shape (${tensor.shape.join(', ')}) of ${tensor.dtype} says.`,
  );
}
