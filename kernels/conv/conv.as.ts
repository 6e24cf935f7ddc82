// Convolutions over time as products of matrices:
// - Left operand: a row is a window of frames, gathered from the activations x (B, L, C_in), with
//   ELU as an optional prologue, packed by four.
// - Right operand: the weight with a row for each (tap, channel) of the window, its columns in
//   panels of 8 (conv1d.ts, `ordered`).
// - Epilogue: bias, residual and ELU.
// torch: nn.Conv1d behind the padding of HF EncodecConv1d; nn.ConvTranspose1d before the trimming
// of HF EncodecConvTranspose1d, whose output frames are columns (conv_transpose1d.wgsl).
// conv/bindings.wgsl lists the words of p. Threads divide the blocks of rows of all sentences.

import { elu4 } from '../common/activations.as';
import { SCRATCH_BYTES, share } from '../common/share.as';
import { packRows, tilePacked } from '../common/tile.as';

// Scratch: one tile, some outputs that fill no eight, four rows, then a block of packed rows.
const SPARE: usize = 128;
const ROWS: usize = 256;

/** The frame of the slice that (row, tap) reads; negative where it reads zeros. */
function frame(p: usize, row: i32, tap: i32, reflected: bool): i32 {
  const frames = load<i32>(p, 28), left = load<i32>(p, 32);
  if (!reflected) {
    const at = row + tap - left;
    return at < frames ? at : -1;
  }
  const mirror = load<i32>(p, 36);
  let at = abs(row * load<i32>(p, 40) + tap * load<i32>(p, 44) - left);
  if (at > mirror) at = 2 * mirror - at;
  return at < frames ? at : -1;
}

/** Writes the window of a row, (k) f32 padded with zeros to a multiple of 4, to `to`. */
function gather(p: usize, x: usize, sentence: i32, row: i32, reflected: bool, to: usize): void {
  const k = load<i32>(p, 4), channels = load<i32>(p, 16);
  const start = sentence * load<i32>(p, 20) + load<i32>(p, 24);
  const bytes = <usize>channels << 2;
  let at = to;
  for (let tap = 0; tap * channels < k; tap++, at += bytes) {
    const from = frame(p, row, tap, reflected);
    if (from < 0) memory.fill(at, 0, bytes);
    else memory.copy(at, x + <usize>(start + from) * bytes, bytes);
  }
  memory.fill(at, 0, (16 - (at & 15)) & 15);
  if (load<u32>(p, 60)) for (; to < at; to += 16) v128.store(to, elu4(v128.load(to)));
}

/** Adds to eight outputs the bias and what y holds, applies ELU, and writes them to y. */
function storeEight(sums: usize, bias: usize, y: usize, residual: u32, activate: u32): void {
  let lo = v128.load(sums), hi = v128.load(sums, 16);
  if (bias) {
    lo = f32x4.add(lo, v128.load(bias));
    hi = f32x4.add(hi, v128.load(bias, 16));
  }
  if (residual) {
    lo = f32x4.add(lo, v128.load(y));
    hi = f32x4.add(hi, v128.load(y, 16));
  }
  if (activate) {
    lo = elu4(lo);
    hi = elu4(hi);
  }
  v128.store(y, lo);
  v128.store(y, hi, 16);
}

function convolve(
  p: usize, x: usize, w: usize, bias: usize, y: usize, reflected: bool, batch: i32, thread: i32, threads: i32,
  scratch: usize,
): void {
  const rows = load<i32>(p), k = load<i32>(p, 4), n = load<i32>(p, 8), skip = load<i32>(p, 56);
  const biased = load<u32>(p, 64), residual = load<u32>(p, 68), activate = load<u32>(p, 72);
  const padded = (k + 3) & ~3;
  const pitch = <usize>padded << 2;
  // Blocks small enough that all threads have some, and that one stays in the L2 cache.
  const room = <i32>((<usize>SCRATCH_BYTES / 4 - ROWS) / pitch) & ~3;
  const even = (((rows * batch) / (4 * threads) + 3) & ~3) || 4;
  const block = max(4, min(min(64, even), room));
  const blocks = (rows + block - 1) / block;
  const packed = scratch + ROWS + 4 * pitch;
  for (let item = share(blocks * batch, thread, threads); item < share(blocks * batch, thread + 1, threads); item++) {
    const sentence = item / blocks, first = (item % blocks) * block;
    const count = min(block, rows - first);
    for (let m = 0; m < count; m += 4) {
      const at = scratch + ROWS;
      for (let r = 0; r < 4; r++)
        gather(p, x, sentence, first + min(m + r, count - 1), reflected, at + <usize>r * pitch);
      packRows(at, at + pitch, at + 2 * pitch, at + 3 * pitch, padded, packed + <usize>m * pitch, 16);
    }
    const to = sentence * load<i32>(p, 48) + load<i32>(p, 52) - skip;
    for (let column = 0; column < n; column += 8) {
      const panel = w + (<usize>column * <usize>k << 2);
      const some = min(8, n - column);
      for (let m = 0; m < count; m += 4) {
        tilePacked(packed + <usize>m * pitch, panel, k, scratch, false);
        for (let r = 0; r < min(4, count - m); r++) {
          const row = first + m + r;
          if (row < skip) continue;
          const out = y + (<usize>((to + row) * n + column) << 2);
          const added = biased ? bias + (<usize>column << 2) : 0;
          const sums = scratch + (<usize>r << 5);
          if (some == 8) {
            storeEight(sums, added, out, residual, activate);
            continue;
          }
          const bytes = <usize>some << 2;
          memory.copy(scratch + SPARE, out, bytes);
          if (biased) memory.copy(scratch + SPARE + 32, added, bytes);
          storeEight(sums, biased ? scratch + SPARE + 32 : 0, scratch + SPARE, residual, activate);
          memory.copy(out, scratch + SPARE, bytes);
        }
      }
    }
  }
}

export function conv1d(
  p: usize, // the words of conv/bindings.wgsl
  x: usize, // (B, L, C_in)
  w: usize, // (taps · C_in, C_out) in panels of 8 columns
  bias: usize, // (C_out)
  y: usize, // (B, L', C_out)
  gridZ: i32, thread: i32, threads: i32, scratch: usize,
): void {
  convolve(p, x, w, bias, y, true, gridZ, thread, threads, scratch);
}

/** The same: few columns are a panel of which most is padding. */
export function conv1d_narrow(
  p: usize, // the words of conv/bindings.wgsl
  x: usize, // (B, L, C_in)
  w: usize, // (taps · C_in, C_out) in panels of 8 columns
  bias: usize, // (C_out)
  y: usize, // (B, L', C_out)
  gridZ: i32, thread: i32, threads: i32, scratch: usize,
): void {
  convolve(p, x, w, bias, y, true, gridZ, thread, threads, scratch);
}

export function conv_transpose1d(
  p: usize, // the words of conv/bindings.wgsl
  x: usize, // (B, L, C_in)
  w: usize, // (taps · C_in, stride · C_out) in panels of 8 columns
  bias: usize, // (stride · C_out)
  y: usize, // (B, L · stride, C_out)
  gridZ: i32, thread: i32, threads: i32, scratch: usize,
): void {
  convolve(p, x, w, bias, y, false, gridZ, thread, threads, scratch);
}
