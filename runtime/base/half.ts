// Half precision on the CPU: float16 and bfloat16 to and from float32, in integer arithmetic on the
// bit patterns.
// For tests, small tensors and conversion of files; weights that are loaded are cast on the GPU.
// Rounds to nearest, ties to even; a float16 overflow is ±inf (as torch's .half()); a NaN stays
// NaN, made quiet, with its sign and the payload bits that fit.
// Reference: IEEE 754-2019, 3.4 and 4.3.1. Halves travel as Uint16Array, because Float16Array is
// not in every host yet.

const INFINITY32 = 0x7f800000;
const OVERFLOW16 = 0x477ff000; // 65520: halfway between 65504, the largest half, and 2^16
const SMALLEST_NORMAL16 = 0x38800000; // 2^-14
const TIE_TO_ZERO16 = 0x33000000; // 2^-25: halfway between 0 and 2^-24, the smallest half; even is 0

/** float16 bit patterns [n] → float32 [n]; exact. */
export function float16ToFloat32(halves: Uint16Array): Float32Array<ArrayBuffer> {
  const bits = new Uint32Array(halves.length);
  for (let i = 0; i < halves.length; i++) {
    const half = halves[i]!;
    const sign = (half & 0x8000) << 16;
    const exponent = (half >>> 10) & 0x1f;
    const mantissa = half & 0x3ff;
    if (exponent === 31) bits[i] = sign | INFINITY32 | (mantissa && (mantissa << 13) | 0x400000);
    else if (exponent) bits[i] = sign | ((exponent + 112) << 23) | (mantissa << 13);
    else if (mantissa) {
      // Subnormal, mantissa × 2^-24: shift the leading one up to bit 23, where float32 leaves it
      // unwritten.
      const shift = Math.clz32(mantissa) - 8;
      bits[i] = sign | ((126 - shift) << 23) | ((mantissa << shift) & 0x7fffff);
    } else bits[i] = sign;
  }
  return new Float32Array(bits.buffer);
}

/**
 * float32 [n] → float16 bit patterns [n]; nearest even, subnormals kept, |x| ≥ 65520 becomes ±inf.
 */
export function float32ToFloat16(floats: Float32Array): Uint16Array<ArrayBuffer> {
  const bits = bitsOf(floats);
  const halves = new Uint16Array(bits.length);
  for (let i = 0; i < bits.length; i++) {
    const word = bits[i]! | 0; // within 32 signed bits all of this is integer arithmetic, and fast
    const sign = (word >>> 16) & 0x8000;
    const magnitude = word & 0x7fffffff;
    if (magnitude < SMALLEST_NORMAL16) {
      if (magnitude <= TIE_TO_ZERO16) halves[i] = sign;
      else {
        const mantissa = (magnitude & 0x7fffff) | 0x800000;
        const shift = 126 - (magnitude >>> 23);
        halves[i] = sign | ((mantissa + (1 << (shift - 1)) - 1 + ((mantissa >>> shift) & 1)) >>> shift);
      }
    } else if (magnitude < OVERFLOW16)
      halves[i] = sign | ((magnitude - (112 << 23) + 0xfff + ((magnitude >>> 13) & 1)) >>> 13);
    else if (magnitude <= INFINITY32) halves[i] = sign | 0x7c00;
    else halves[i] = sign | 0x7e00 | ((magnitude >>> 13) & 0x1ff);
  }
  return halves;
}

/** bfloat16 bit patterns [n] → float32 [n]; exact. */
export function bfloat16ToFloat32(halves: Uint16Array): Float32Array<ArrayBuffer> {
  const bits = new Uint32Array(halves.length);
  for (let i = 0; i < halves.length; i++) bits[i] = halves[i]! << 16;
  return new Float32Array(bits.buffer);
}

/** float32 [n] → bfloat16 bit patterns [n]; nearest even. */
export function float32ToBfloat16(floats: Float32Array): Uint16Array<ArrayBuffer> {
  const bits = bitsOf(floats);
  const halves = new Uint16Array(floats.length);
  for (let i = 0; i < bits.length; i++) {
    const word = bits[i]!;
    if ((word & 0x7fffffff) > INFINITY32) halves[i] = (word >>> 16) | 0x40;
    else halves[i] = roundedShift(word, 16);
  }
  return halves;
}

/** value / 2^shift, to the nearest integer, ties to even; value below 2^32, shift from 1 to 31. */
function roundedShift(value: number, shift: number): number {
  // The sum may pass 2^32 (a negative float32 near its end), so it is divided, not shifted.
  const belowHalf = 2 ** (shift - 1) - 1;
  return Math.floor((value + belowHalf + ((value >>> shift) & 1)) / 2 ** shift);
}

function bitsOf(floats: Float32Array): Uint32Array {
  return new Uint32Array(floats.buffer, floats.byteOffset, floats.length);
}
