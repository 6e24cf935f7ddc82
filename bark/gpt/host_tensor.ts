// Tensors on the host, as callers pass them to `forward`: {data, shape}, or nested arrays.

import { InputError, UnsupportedError } from '../../runtime/base/errors.ts';
import { shown } from '../../runtime/base/messages.ts';
import { isBag, isPromise } from '../../runtime/base/options.ts';

/**
 * Throws `UnsupportedError` for an attention mask in the inputs of a `forward`: the logits would be
 * those of inputs without one.
 */
export function refuseMask(door: string, inputs: unknown): void {
  const key = ['attentionMask', 'attention_mask'].find((name) => isBag(inputs) && name in inputs);
  if (key && (inputs as Record<string, unknown>)[key] !== undefined)
    throw new UnsupportedError(
      `${door}: got ${key}, expected none: masks are not built yet, and each row is read whole. Leave it out where it is 1 everywhere; give rows of other lengths one by one, without their padding.`,
    );
}

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
  const { data: own, shape: sizes } = (value ?? {}) as Partial<HostTensor>;
  if (!isList(value) && !(isList(own) && isList(sizes)))
    throw new InputError(
      `${label}: got ${shown(value, 'setting')}, expected nested lists of numbers or { data, shape }.${isPromise(value) ? ' Write await before it.' : ''}`,
    );
  if ('data' in value && 'shape' in value) {
    const count = value.shape.reduce((a, b) => a * b, 1);
    if (value.data.length !== count)
      throw new InputError(
        `${label}: got ${value.data.length} values, expected ${count} for shape (${value.shape.join(', ')}).`,
      );
    const { data, shape } = value;
    return typeof data[0] === 'bigint' ? { data: Array.from(data, Number), shape } : value; // transformers.js' ids
  }
  const shape: number[] = [];
  for (let level: unknown = value; isList(level); level = level[0]) shape.push(level.length);
  const data: number[] = [];
  const walk = (level: unknown, depth: number): void => {
    if (!isList(level)) {
      if (typeof level !== 'number' && typeof level !== 'bigint')
        throw new InputError(`${label}: got ${shown(level, 'setting')} in a list, expected numbers.`);
      return void data.push(Number(level));
    }
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
