// Tensors on the host, as callers pass them to `forward`: {data, shape}, or nested arrays.

import { InputError } from '../../runtime/base/errors.ts';

/** A tensor on the host, row-major. */
export interface HostTensor<T extends ArrayLike<number> = Float32Array> {
  readonly data: T;
  readonly shape: readonly number[];
}

/** Nested lists of numbers, one level for each dimension; lists of one level are equally long. */
type NestedNumbers = ArrayLike<number> | readonly NestedNumbers[];

export type TensorLike = HostTensor<ArrayLike<number>> | NestedNumbers;

/** Throws `InputError` for lists of unequal length, and where data and shape differ in size. */
export function hostTensor(value: TensorLike, label: string): HostTensor<ArrayLike<number>> {
  if ('data' in value && 'shape' in value) {
    const count = value.shape.reduce((a, b) => a * b, 1);
    if (value.data.length !== count)
      throw new InputError(
        `${label}: got ${value.data.length} values, expected ${count} for shape (${value.shape.join(', ')}).`,
      );
    return value;
  }
  const shape: number[] = [];
  for (let level: unknown = value; isList(level); level = level[0]) shape.push(level.length);
  const data: number[] = [];
  const walk = (level: unknown, depth: number): void => {
    if (!isList(level)) return void data.push(Number(level));
    if (level.length !== shape[depth])
      throw new InputError(
        `${label}: got a list of ${level.length} beside one of ${shape[depth]}, expected equal lengths.`,
      );
    for (let i = 0; i < level.length; i++) walk(level[i], depth + 1);
  };
  walk(value, 0);
  return { data, shape };
}

const isList = (value: unknown): value is ArrayLike<unknown> =>
  typeof value === 'object' && value !== null && 'length' in value;
