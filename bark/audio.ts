// The result: mono samples, and the WAV file they make. Nothing here plays them; the command does.
// Reference: the RIFF/WAVE format, 16-bit PCM.

import { InputError } from '../runtime/base/errors.ts';
import { shown } from '../runtime/base/messages.ts';
import { checkPath, writeFile } from '../runtime/host/write_file.ts';

const HEADER_BYTES = 44;
const BYTES_PER_SAMPLE = 2;
const FULL_SCALE = 2 ** 15 - 1;

/**
 * Throws a `Refused` for a file name that promises another format than the one that is written.
 * Names without an ending promise nothing, and what is no short word behind a dot is no ending.
 */
export function checkWavName(path: string | URL, Refused: new (message: string) => Error): void {
  const text = typeof path === 'string' ? path : path.pathname;
  const ending = /\.[a-z][a-z\d]{0,4}$/i.exec(text)?.[0].toLowerCase();
  if (ending === undefined || ending === '.wav' || ending === '.wave') return;
  throw new Refused(
    `${text}: got a file name with ${ending}, expected .wav, the only format that is written. Write a .wav and convert it: ffmpeg -i bark.wav bark${ending}`,
  );
}

export class RawAudio {
  /** Samples [n], nominally within [-1, 1]. */
  readonly data: Float32Array;
  /** Hz. */
  readonly sampling_rate: number;

  /**
   * Throws `InputError` for samples that are no Float32Array, and for a sampling rate that is no
   * positive whole number.
   */
  constructor(data: Float32Array, sampling_rate: number) {
    if (!(data instanceof Float32Array))
      throw new InputError(`RawAudio: got ${shown(data, 'setting')}, expected the samples as a Float32Array.`);
    if (!Number.isInteger(sampling_rate) || sampling_rate <= 0 || sampling_rate >= 2 ** 32) {
      throw new InputError(
        `RawAudio: got the sampling rate ${shown(sampling_rate, 'setting')}, expected a positive whole number of samples a second.`,
      );
    }
    this.data = data;
    this.sampling_rate = sampling_rate;
  }

  /** Seconds. */
  get duration(): number {
    return this.data.length / this.sampling_rate;
  }

  /**
   * A 16-bit PCM WAV file. Samples outside [-1, 1] are clipped, and NaN becomes silence. Throws
   * `InputError` for 4 GiB of samples or more.
   */
  toWav(): Uint8Array<ArrayBuffer> {
    const { data, sampling_rate } = this;
    const dataBytes = data.length * BYTES_PER_SAMPLE;
    if (dataBytes > 2 ** 32 - HEADER_BYTES) {
      throw new InputError(
        `RawAudio.toWav: got ${data.length} samples, expected less than 4 GiB of them: a WAV file counts its bytes in 32 bits. Save it in parts.`,
      );
    }
    const bytes = new Uint8Array(HEADER_BYTES + dataBytes);
    const view = new DataView(bytes.buffer);
    const ascii = (at: number, text: string) => bytes.set(new TextEncoder().encode(text), at);
    ascii(0, 'RIFF');
    view.setUint32(4, HEADER_BYTES - 8 + dataBytes, true);
    ascii(8, 'WAVEfmt ');
    view.setUint32(16, 16, true); // bytes of the format chunk
    view.setUint16(20, 1, true); // PCM
    view.setUint16(22, 1, true); // channels
    view.setUint32(24, sampling_rate, true);
    view.setUint32(28, sampling_rate * BYTES_PER_SAMPLE, true); // bytes a second
    view.setUint16(32, BYTES_PER_SAMPLE, true); // bytes a frame
    view.setUint16(34, BYTES_PER_SAMPLE * 8, true);
    ascii(36, 'data');
    view.setUint32(40, dataBytes, true);
    for (let i = 0; i < data.length; i++) {
      const sample = Math.max(-1, Math.min(1, data[i]! || 0));
      view.setInt16(HEADER_BYTES + i * BYTES_PER_SAMPLE, Math.round(sample * FULL_SCALE), true);
    }
    return bytes;
  }

  /** The WAV file as a Blob, for a player or a download in a browser. */
  toBlob(): Blob {
    return new Blob([this.toWav()], { type: 'audio/wav' });
  }

  /**
   * Writes the WAV file, whole or not at all. Throws `InputError` where the folder is missing or
   * cannot be written, and for a name that ends as another format's.
   */
  async save(path: string | URL): Promise<void> {
    checkPath('audio.save', path);
    checkWavName(path, InputError);
    await writeFile(path, this.toWav());
  }
}
