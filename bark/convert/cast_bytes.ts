// Casts stored floats from one dtype to another on the host.
// Halves are torch's .half() bit for bit: f64 is rounded to f32 first, ties go to even, subnormals
// are kept, overflow becomes ±inf, and a NaN stays a NaN: quiet, with the upper bits of its
// payload.

import { bfloat16ToFloat32, float16ToFloat32, float32ToFloat16 } from '../../runtime/base/half.ts';
import { itemBytes, type StoredDType } from '../../runtime/formats/checkpoint.ts';

/** What a conversion can write. */
export type FloatDType = 'F32' | 'F16';

/** The dtypes that a conversion changes; tensors of all others are copied as they are. */
export const FLOATS: readonly StoredDType[] = ['F16', 'BF16', 'F32', 'F64'];

/**
 * Values of one float dtype as the bytes of another. `onOverflow` gets the number of finite values
 * that became infinite, if there are any. May return `bytes` itself.
 */
export function castBytes(
  bytes: Uint8Array<ArrayBuffer>,
  from: StoredDType,
  to: FloatDType,
  onOverflow: (count: number) => void = () => {},
): Uint8Array<ArrayBuffer> {
  if (from === to) return bytes;
  const { buffer, byteOffset, byteLength } = bytes.byteOffset % itemBytes[from] === 0 ? bytes : bytes.slice();
  const count = byteLength / itemBytes[from];
  let floats: Float32Array<ArrayBuffer>;
  let isFinite = (i: number) => Number.isFinite(floats[i]);
  if (from === 'F16') floats = float16ToFloat32(new Uint16Array(buffer, byteOffset, count));
  else if (from === 'BF16') floats = bfloat16ToFloat32(new Uint16Array(buffer, byteOffset, count));
  else if (from === 'F64') {
    const doubles = new Float64Array(buffer, byteOffset, count);
    floats = new Float32Array(doubles);
    isFinite = (i) => Number.isFinite(doubles[i]);
  } else floats = new Float32Array(buffer, byteOffset, count);

  let overflows = 0;
  if (to === 'F32') {
    if (from === 'F64')
      for (let i = 0; i < count; i++) if (Math.abs(floats[i]!) === Infinity && isFinite(i)) overflows++;
    if (overflows > 0) onOverflow(overflows);
    return new Uint8Array(floats.buffer, floats.byteOffset, floats.byteLength);
  }
  const halves = float32ToFloat16(floats);
  for (let i = 0; i < count; i++) if ((halves[i]! & 0x7fff) === 0x7c00 && isFinite(i)) overflows++;
  if (overflows > 0) onOverflow(overflows);
  return new Uint8Array(halves.buffer);
}
