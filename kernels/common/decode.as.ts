// What the decode forms of `linear` and `qkv` share: the rows of x of the sentences that go on,
// normalised, times panels of W.

import { normalise, packBlock, packedAt, panelTimesBlock, panelTimesTwo, panelTimesVector, sumOf } from './products.as';
import { HALF_STEP } from './simd.as';
import { panelAt } from './weights.as';

/** Bytes of one sentence's Row of the state (kernels/state.ts), and where its words stand. */
export const ROW_BYTES = 32;
export const POSITION: usize = 4;
export const STEP: usize = 8;
export const DONE: usize = 12;

/** Up to so many rows a panel is walked through for two rows at a time, and not spread. */
const FEW = 4;

/**
 * Writes the rows of x (batch, k) of the sentences that are not done to scratch, normalised, and
 * packed where they are many; returns how many. `sentenceOf` tells whose they are.
 */
export function liveRows(
  state: usize, x: usize, batch: i32, k: i32, norm: u32, gain: usize, eps: f32, f32s: u32, scratch: usize,
): i32 {
  let live = 0;
  for (let b = 0; b < batch; b++) if (!load<u32>(state + <usize>b * ROW_BYTES + DONE)) live++;
  const pitch = <usize>k << 2;
  // A few rows stay as they are; more are written behind where they are packed to.
  const scale: f32 = live <= FEW && !f32s ? HALF_STEP : 1;
  const rows = packedAt(scratch) + (live <= FEW ? 0 : <usize>((live + 3) & ~3) * pitch);
  for (let row = 0; row < live; row++)
    normalise(x + <usize>sentenceOf(state, row) * pitch, k, norm, gain, eps, scale, rows + <usize>row * pitch);
  if (live > FEW) packBlock(rows, live, k, scratch);
  return live;
}

/** The sentence of live row `row`. */
export function sentenceOf(state: usize, row: i32): i32 {
  let b = -1;
  while (row >= 0) if (!load<u32>(state + <usize>++b * ROW_BYTES + DONE)) row--;
  return b;
}

/** The products of the live rows with the panel of W that begins with row n, to `sumOf`. */
export function panelOfLive(w: usize, n: i32, live: i32, k: i32, f32s: u32, scratch: usize): void {
  const panel = panelAt(w, n, k, f32s);
  if (live > FEW) return panelTimesBlock(live, k, panel, f32s, scratch);
  const pitch = <usize>k << 2;
  let row = 0;
  for (; row + 2 <= live; row += 2) {
    const x = packedAt(scratch) + <usize>row * pitch;
    panelTimesTwo(x, x + pitch, k, panel, f32s, scratch);
    for (let half = 0; half < 2; half++) {
      memory.copy(sumOf(scratch, row, half), scratch + (<usize>half << 5), 32);
      memory.copy(sumOf(scratch, row + 1, half), scratch + 64 + (<usize>half << 5), 32);
    }
  }
  if (row == live) return;
  panelTimesVector(packedAt(scratch) + <usize>row * pitch, k, panel, f32s, scratch);
  for (let half = 0; half < 2; half++) memory.copy(sumOf(scratch, row, half), scratch + (<usize>half << 5), 32);
}
