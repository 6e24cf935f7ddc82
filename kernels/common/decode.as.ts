// What the decode forms of `linear` and `qkv` share: the rows of x of the sentences that go on,
// normalised, times panels of W.

import { normalise, panelTimesRows, panelTimesVector, sumOf } from './products.as';
import { HALF_STEP } from './simd.as';
import { panelAt } from './weights.as';

/** Bytes of one sentence's Row of the state (kernels/state.ts), and where its words stand. */
export const ROW_BYTES = 32;
export const POSITION: usize = 4;
export const STEP: usize = 8;
export const DONE: usize = 12;

/** Rows of x follow the sums of up to 16 rows; panelTimesRows spreads in front of both. */
const MOST_ROWS = 16;

/**
 * Writes the rows of x (batch, k) of the sentences that are not done to scratch, side by side, each
 * normalised; returns how many. `sentenceOf` tells whose they are.
 */
export function liveRows(
  state: usize, x: usize, batch: i32, k: i32, norm: u32, gain: usize, eps: f32, f32s: u32, scratch: usize,
): i32 {
  let live = 0;
  for (let b = 0; b < batch; b++) if (!load<u32>(state + <usize>b * ROW_BYTES + DONE)) live++;
  const scale: f32 = live == 1 && !f32s ? HALF_STEP : 1;
  let row = 0;
  for (let b = 0; b < batch; b++) {
    if (load<u32>(state + <usize>b * ROW_BYTES + DONE)) continue;
    normalise(x + (<usize>(b * k) << 2), k, norm, gain, eps, scale, rowsAt(scratch) + (<usize>(row * k) << 2));
    row++;
  }
  return live;
}

/** The sentence of live row `row`. */
export function sentenceOf(state: usize, row: i32): i32 {
  let b = -1;
  while (row >= 0) if (!load<u32>(state + <usize>++b * ROW_BYTES + DONE)) row--;
  return b;
}

// @ts-ignore: decorator
@inline function rowsAt(scratch: usize): usize {
  return sumOf(scratch, MOST_ROWS, 0);
}

/** The products of the live rows with the panel of W that begins with row n, to `sumOf`. */
export function panelOfLive(w: usize, n: i32, live: i32, k: i32, f32s: u32, scratch: usize): void {
  const panel = panelAt(w, n, k, f32s);
  if (live > 1) panelTimesRows(rowsAt(scratch), live, k, panel, f32s, scratch);
  else {
    // sixteen sums in a row, to where panelTimesRows would leave the two halves
    const to = sumOf(scratch, 0, 1);
    panelTimesVector(rowsAt(scratch), k, panel, f32s, to - 32);
    memory.copy(sumOf(scratch, 0, 0), to - 32, 32);
  }
}
