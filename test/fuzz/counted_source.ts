// A file in memory that counts what is read of it.

import { WeightsError } from '../../runtime/base/errors.ts';
import type { ByteSource } from '../../runtime/files/model_source.ts';

export interface CountedSource extends ByteSource {
  closed: number;
}

/**
 * Bytes as a file that refuses what is not in it, as all of the library's sources do, and counts
 * what is asked for.
 */
export function countedSource(bytes: Uint8Array, label = 'file'): CountedSource {
  let asked = 0;
  return {
    label,
    size: bytes.length,
    closed: 0,
    async read(start, end) {
      if (this.closed) throw new GreedyError('it reads a file that it closed');
      if (!(Number.isSafeInteger(start) && Number.isSafeInteger(end) && 0 <= start && start <= end))
        throw new WeightsError(`${label}: got the byte range [${start}, ${end}), expected whole numbers in order.`);
      if (end > bytes.length)
        throw new WeightsError(`${label}: got a file of ${bytes.length} bytes, expected at least ${end}.`);
      asked += end - start;
      if (asked > READ_ANYWAY + READ_AGAIN * bytes.length)
        throw new GreedyError(`it reads ${asked} bytes of a file of ${bytes.length}`);
      return new Uint8Array(bytes.subarray(start, end));
    },
    async close() {
      this.closed++;
    },
  };
}

const READ_AGAIN = 80; // times the file's size that a reader and the check together may ask for
const READ_ANYWAY = 8 * 2 ** 20;

/**
 * Thrown where a reader asks for more than a sound one needs: not one of the library's errors, so
 * it is a failure.
 */
class GreedyError extends Error {}
