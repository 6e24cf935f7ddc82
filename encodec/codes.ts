// Codes as callers have them, as clips of one shape each.

import { InputError } from '../runtime/base/errors.ts';
import { shown } from '../runtime/base/messages.ts';
import { isPromise, isWholeList } from '../runtime/base/options.ts';

/**
 * Codes as one array of shape [Q, T] or [B, Q, T], or as the Q rows of one clip. Ids are below
 * codebook_size.
 */
export type Codes = { readonly data: Int32Array; readonly shape: readonly number[] } | readonly ArrayLike<number>[];

export interface Clip {
  readonly data: Int32Array; // (Q, T)
  readonly codebooks: number;
  readonly frames: number;
}

/** The clips that codes hold, as [Q, T] each. */
export function listClips(codes: unknown): Clip[] {
  if (Array.isArray(codes) && !codes.some((entry) => typeof entry === 'number'))
    return codes.length > 0 && codes.every(isWholeList) ? [joinRows(codes)] : codes.flatMap(listClips);
  const { data, shape } = (codes ?? {}) as { data?: unknown; shape?: unknown };
  if (!isWholeList(data) || !isWholeList(shape))
    throw new InputError(
      `Codes: got ${shown(codes, 'setting')}, expected { data, shape } of whole numbers or the rows of a clip.${isPromise(codes) ? ' Write await before it.' : ' Pass output.tokens[row].fine with its shape [codebooks, frames].'}`,
    );
  return splitBatch({ data: data instanceof Int32Array ? data : Int32Array.from(data), shape: Array.from(shape) });
}

function splitBatch({ data, shape }: { data: Int32Array; shape: readonly number[] }): Clip[] {
  const [batch, codebooks, frames] =
    shape.length === 2 ? [1, shape[0]!, shape[1]!] : (shape as readonly [number, number, number]);
  if (shape.length < 2 || shape.length > 3 || data.length !== batch * codebooks * frames) {
    throw new InputError(
      `Codes: got ${data.length} ids of shape (${shape.join(', ')}), expected as many as a shape (Q, T) or (B, Q, T) says.`,
    );
  }
  const size = codebooks * frames;
  return Array.from({ length: batch }, (_, b) => ({
    data: data.subarray(b * size, (b + 1) * size),
    codebooks,
    frames,
  }));
}

function joinRows(rows: readonly ArrayLike<number>[]): Clip {
  const frames = rows[0]!.length;
  if (rows.some((row) => row.length !== frames))
    throw new InputError(
      `Codes: got rows of ${rows.map((row) => row.length).join(', ')} ids, expected the same number in each.`,
    );
  const data = new Int32Array(rows.length * frames);
  rows.forEach((row, q) => data.set(row, q * frames));
  return { data, codebooks: rows.length, frames };
}
