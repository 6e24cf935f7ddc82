// The three arrays of a voice preset, in whatever form they are given: flat with a shape, nested,
// typed or plain.

import { InputError, WeightsError } from '../../runtime/base/errors.ts';
import { shown } from '../../runtime/base/messages.ts';
import { isList } from '../../runtime/base/options.ts';
import type { IntegerArray } from '../../runtime/formats/npy.ts';

export const PROMPTS = ['semantic_prompt', 'coarse_prompt', 'fine_prompt'] as const;

export type Prompt = (typeof PROMPTS)[number];

export const DIMENSIONS: Record<Prompt, 1 | 2> = { semantic_prompt: 1, coarse_prompt: 2, fine_prompt: 2 };

// bytes; a preset has some ten thousand

/** The tokens of a voice, row-major, with what errors call it: a `VoicePreset` is one. */
export interface VoiceTokens extends Readonly<Record<Prompt, Int32Array>> {
  readonly shapes: Readonly<{
    semantic_prompt: readonly [number];
    coarse_prompt: readonly [number, number];
    fine_prompt: readonly [number, number];
  }>;
  readonly label: string;
}

/** Tokens as callers have them: flat and row-major, as rows, or with their shape. */
export type PromptLike =
  | ArrayLike<number>
  | readonly ArrayLike<number>[]
  | { data: ArrayLike<number>; shape: readonly number[] };

export function isFlat(value: PromptLike): value is ArrayLike<number> {
  return 'length' in value && (value.length === 0 || typeof value[0] !== 'object');
}

export function toArray(value: PromptLike, label: string): IntegerArray {
  let flat: ArrayLike<number>;
  let shape: number[];
  const { length, data: own, shape: sizes } = value as Partial<ArrayLike<number> & { data: unknown; shape: unknown }>;
  if (length === undefined && !(isList(own) && isList(sizes)))
    throw new InputError(
      `${label}: got ${shown(value, 'setting')}, expected a list of whole numbers or { data, shape }.`,
    );
  if ('data' in value && 'shape' in value) {
    flat = value.data;
    shape = [...value.shape];
    const count = shape.reduce((product, length) => product * length, 1);
    if (count !== flat.length)
      throw new InputError(
        `${label}: got ${flat.length} values, expected ${count} from its shape [${shape.join(', ')}].`,
      );
  } else if (isFlat(value)) {
    flat = value;
    shape = [value.length];
  } else {
    const nested = Array.from(value as readonly ArrayLike<number>[]);
    const lengths = nested.map((row) => row?.length);
    if (lengths.some((length) => typeof length !== 'number' || length !== lengths[0]))
      throw new InputError(`${label}: got rows of ${lengths.join(', ')} values, expected equal lengths.`);
    flat = nested.flatMap((row) => Array.from(row));
    shape = [nested.length, lengths[0]!];
  }
  const data = Int32Array.from(Array.from(flat, Number)); // Number: int64 arrays hold BigInt
  const wrongAt = data.findIndex((token, i) => token !== Number(flat[i]));
  if (wrongAt >= 0) throw new InputError(`${label}: got ${flat[wrongAt]}, expected whole numbers.`);
  return { data, shape };
}

export function rows({ data }: IntegerArray, length: number, label: string): number[] {
  const count = length === 0 ? 0 : data.length / length;
  if (!Number.isInteger(length) || !Number.isInteger(count))
    throw new InputError(`${label}: got ${data.length} values, expected whole rows. Pass { data, shape }.`);
  return [count, length];
}

export function wrong(
  label: string,
  got: string,
  expected: string,
  advice = 'Use another voice, or make this one again.',
): WeightsError {
  return new WeightsError(`${label}: got ${got}, expected ${expected}. ${advice}`);
}
