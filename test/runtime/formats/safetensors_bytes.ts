// Safetensors files made byte by byte, sound and hostile.

import { fileURLToPath } from 'node:url';
import type { ByteSource } from '../../../runtime/files/model_source.ts';

export const fixtures = fileURLToPath(new URL('../../fixtures/safetensors', import.meta.url));

/** Bytes as a source that notes how many were asked for, and whether it was closed. */
export function sourceOf(bytes: Uint8Array, size = bytes.length): ByteSource & { asked: number; closed: boolean } {
  return {
    label: 'hostile.safetensors',
    size,
    asked: 0,
    closed: false,
    async read(start, end) {
      if (end > bytes.length) throw new Error(`the reader asked for bytes up to ${end} of ${bytes.length}`);
      this.asked += end - start;
      return new Uint8Array(bytes.slice(start, end));
    },
    async close() {
      this.closed = true;
    },
  };
}

/** A file: the header's length (or a lie), the header, `data` zero bytes. */
export function file(header: string | Uint8Array, data = 0, length?: bigint): Uint8Array {
  const text = typeof header === 'string' ? new TextEncoder().encode(header) : header;
  const bytes = new Uint8Array(8 + text.length + data);
  new DataView(bytes.buffer).setBigUint64(0, length ?? BigInt(text.length), true);
  bytes.set(text, 8);
  return bytes;
}

export const tensor = (shape: unknown, offsets: unknown, dtype: unknown = 'F32') => ({
  dtype,
  shape,
  data_offsets: offsets,
});

export const header = (tensors: Record<string, unknown>) => JSON.stringify(tensors);

export const one = { a: tensor([2], [0, 8]) };
