// What the decode forms of `linear` and `qkv` share: the rows of x of the sentences that go on,
// normalised, times panels of W.

import { normalise, panelsTimesRows, panelTimesTwo, panelTimesVector, rowsAt, sumOf } from './products.as';
import { HALF_STEP } from './simd.as';
import { PANEL, panelAt } from './weights.as';

/** Bytes of one sentence's Row of the state (kernels/state.ts), and where its words stand. */
export const ROW_BYTES = 32;
export const POSITION: usize = 4;
export const STEP: usize = 8;
export const DONE: usize = 12;

/** Up to so many rows a panel is walked through for two rows at a time, and not spread. */
const FEW = 4;

/**
 * Writes the rows of x (batch, k) of the sentences that are not done to scratch, normalised;
 * returns how many. `sentenceOf` tells whose they are.
 */
export function liveRows(
  state: usize, x: usize, batch: i32, k: i32, norm: u32, gain: usize, eps: f32, f32s: u32, scratch: usize,
): i32 {
  let live = 0;
  for (let b = 0; b < batch; b++) if (!load<u32>(state + <usize>b * ROW_BYTES + DONE)) live++;
  const pitch = <usize>k << 2;
  const scale: f32 = live <= FEW && !f32s ? HALF_STEP : 1;
  for (let row = 0; row < live; row++) {
    const to = rowsAt(scratch) + <usize>row * pitch;
    normalise(x + <usize>sentenceOf(state, row) * pitch, k, norm, gain, eps, scale, to);
  }
  return live;
}

/** The sentence of live row `row`. */
export function sentenceOf(state: usize, row: i32): i32 {
  let b = -1;
  while (row >= 0) if (!load<u32>(state + <usize>++b * ROW_BYTES + DONE)) row--;
  return b;
}

/**
 * The products of the live rows with `panels` ≤ groupOf(k) panels of W from row `first` on, to
 * `sumOf`. `packed`: the call before was of the same rows.
 */
export function panelsOfLive(
  w: usize, first: i32, panels: i32, live: i32, k: i32, f32s: u32, packed: bool, scratch: usize,
): void {
  const rows = rowsAt(scratch);
  if (live > FEW) return panelsTimesRows(rows, live, k, w, first, panels, f32s, packed, scratch);
  const pitch = <usize>k << 2;
  for (let g = 0; g < panels; g++) {
    const panel = panelAt(w, first + g * PANEL, k, f32s);
    let row = 0;
    for (; row + 2 <= live; row += 2) {
      const x = rows + <usize>row * pitch;
      panelTimesTwo(x, x + pitch, k, panel, f32s, sumOf(scratch, g, row, 0), sumOf(scratch, g, row + 1, 0));
    }
    if (row < live) panelTimesVector(rows + <usize>row * pitch, k, panel, f32s, sumOf(scratch, g, row, 0));
  }
}
