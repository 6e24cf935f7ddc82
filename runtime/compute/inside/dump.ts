// A tensor's values for a person who looks at them: at a prompt, or between two dispatches.

import { float16ToFloat32 } from '../../base/half.ts';
import { elements, type DType, type Tensor } from '../tensor.ts';

export interface TensorDump {
  readonly label: string;
  readonly shape: readonly number[];
  readonly dtype: DType;
  /** All values, row-major; those of f16 as f32. */
  readonly data: Float32Array | Uint32Array | Int32Array;
  /** Of the values that are numbers; NaN where none is. */
  readonly min: number;
  readonly max: number;
  readonly mean: number;
  /** Values that are not a number. */
  readonly nan: number;
}

/** `bytes` as the GPU holds them. */
export function dumpOf({ label, shape, dtype }: Tensor, bytes: ArrayBuffer): TensorDump {
  const data = valuesOf(dtype, bytes).subarray(0, elements(shape));
  let [min, max, sum, nan] = [Infinity, -Infinity, 0, 0];
  for (const value of data) {
    if (Number.isNaN(value)) nan++;
    else {
      min = Math.min(min, value);
      max = Math.max(max, value);
      sum += value;
    }
  }
  const count = data.length - nan;
  if (count === 0) [min, max] = [NaN, NaN];
  return { label, shape, dtype, data, min, max, mean: sum / count, nan };
}

function valuesOf(dtype: DType, bytes: ArrayBuffer): Float32Array | Uint32Array | Int32Array {
  if (dtype === 'f16') return float16ToFloat32(new Uint16Array(bytes));
  if (dtype === 'f32') return new Float32Array(bytes);
  return dtype === 'u32' ? new Uint32Array(bytes) : new Int32Array(bytes);
}
