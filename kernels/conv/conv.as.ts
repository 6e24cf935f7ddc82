// Convolutions over time as products of matrices:
// - Left operand: a row is a window of frames of the activations x (B, L, C_in), with ELU as an
//   optional prologue, packed by four.
// - Right operand: the weight with a row for each (tap, channel) of the window, its columns in
//   panels of 8 (conv1d.ts, `ordered`).
// - Epilogue: bias, residual and ELU.
// torch: nn.Conv1d behind the padding of HF EncodecConv1d; nn.ConvTranspose1d before the trimming
// of HF EncodecConvTranspose1d, whose output frames are columns (conv_transpose1d.wgsl).
// conv/bindings.wgsl lists the words of p. Threads divide the blocks of rows of all sentences.

import { elu4 } from '../common/activations.as';
import { SCRATCH_BYTES, share } from '../common/share.as';
import { zero } from '../common/simd.as';
import { packRows, tilePacked } from '../common/tile.as';

// Scratch: one tile, outputs that fill no eight, the frames of a block, four windows that have to
// be gathered, then the block's windows, packed.
const SPARE: usize = 128;
const FRAMES: usize = 256;
/** Most rows of a block. */
const BLOCK = 64;

/** The frame of the slice that stands at `at`, counted with the padding; negative for zeros. */
function frameAt(p: usize, at: i32, reflected: bool): i32 {
  const frames = load<i32>(p, 28);
  let i = at - load<i32>(p, 32);
  if (reflected) {
    const mirror = load<i32>(p, 36);
    i = abs(i);
    if (i > mirror) i = 2 * mirror - i;
  }
  return i < frames ? i : -1;
}

/**
 * Writes `count` frames from padded frame `first` on to scratch, ELU applied, side by side. ELU is
 * computed once a frame, however many windows it is in.
 */
function takeFrames(p: usize, x: usize, sentence: i32, first: i32, count: i32, reflected: bool, scratch: usize): void {
  const channels = load<i32>(p, 16), elu = load<u32>(p, 60);
  const start = sentence * load<i32>(p, 20) + load<i32>(p, 24);
  const whole = <usize>(channels & ~3) << 2, bytes = <usize>channels << 2;
  let to = scratch + FRAMES;
  for (let f = 0; f < count; f++) {
    const at = frameAt(p, first + f, reflected);
    const from = x + <usize>(start + at) * bytes;
    let i: usize = 0;
    if (at < 0) for (; i < whole; i += 16) v128.store(to + i, zero());
    else if (elu) for (; i < whole; i += 16) v128.store(to + i, elu4(v128.load(from + i)));
    else for (; i < whole; i += 16) v128.store(to + i, v128.load(from + i));
    for (; i < bytes; i += 4) {
      const v: f32 = at < 0 ? 0 : load<f32>(from + i);
      store<f32>(to + i, elu ? f32x4.extract_lane(elu4(f32x4.splat(v)), 0) : v);
    }
    to += bytes;
  }
}

/** Writes the window of row r of a block, (k) f32 padded with zeros to a multiple of 4, to `to`. */
function gather(p: usize, r: i32, k: i32, to: usize, scratch: usize): void {
  const channels = load<i32>(p, 16), dilation = load<i32>(p, 44);
  const bytes = <usize>channels << 2;
  let frame = r * load<i32>(p, 40);
  for (let done = 0; done < k; done += channels, frame += dilation, to += bytes)
    memory.copy(to, scratch + FRAMES + <usize>frame * bytes, bytes);
  for (; to & 15; to += 4) store<f32>(to, 0);
}

/** The sums of a tile's row, + bias, + what y holds, ELU, to eight outputs of y. */
// @ts-ignore: decorator
@inline function storeEight(sums: usize, lowBias: v128, highBias: v128, y: usize, residual: u32, activate: u32): void {
  let lo = f32x4.add(v128.load(sums), lowBias), hi = f32x4.add(v128.load(sums, 16), highBias);
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
  const channels = load<i32>(p, 16), stride = load<i32>(p, 40), dilation = load<i32>(p, 44);
  const biased = load<u32>(p, 64), residual = load<u32>(p, 68), activate = load<u32>(p, 72);
  const padded = (k + 3) & ~3;
  const pitch = <usize>padded << 2, frame = <usize>channels << 2;
  const reach = (k / channels - 1) * dilation + 1; // frames of a window
  // Blocks small enough that all threads have some, and that one stays in the L2 cache.
  const bytes = <usize>SCRATCH_BYTES / 4 - FRAMES - <usize>reach * frame - 4 * pitch;
  const room = <i32>(bytes / (pitch + <usize>stride * frame)) & ~3;
  const even = ((rows * batch) / (4 * threads) + 3) & ~3;
  const block = max(4, min(min(BLOCK, even), room));
  const blocks = (rows + block - 1) / block;
  // A window of neighbouring frames stands in scratch as it is; others are gathered.
  const straight = dilation == 1 || reach == 1 ? padded == k : false;
  const windows = (scratch + FRAMES + <usize>(stride * (block - 1) + reach) * frame + 15) & ~15;
  const packed = windows + 4 * pitch;
  for (let item = share(blocks * batch, thread, threads); item < share(blocks * batch, thread + 1, threads); item++) {
    const sentence = item / blocks, first = (item % blocks) * block;
    const count = min(block, rows - first), last = count - 1;
    takeFrames(p, x, sentence, first * stride, stride * last + reach, reflected, scratch);
    for (let m = 0; m < count; m += 4) {
      // Rows past the last one are the last one again; their outputs are not written.
      let a0 = windows, a1 = windows + pitch, a2 = windows + 2 * pitch, a3 = windows + 3 * pitch;
      if (straight) {
        const step = <usize>stride * frame;
        a0 = scratch + FRAMES + <usize>m * step;
        a1 = scratch + FRAMES + <usize>min(m + 1, last) * step;
        a2 = scratch + FRAMES + <usize>min(m + 2, last) * step;
        a3 = scratch + FRAMES + <usize>min(m + 3, last) * step;
      } else {
        gather(p, m, k, a0, scratch);
        gather(p, min(m + 1, last), k, a1, scratch);
        gather(p, min(m + 2, last), k, a2, scratch);
        gather(p, min(m + 3, last), k, a3, scratch);
      }
      packRows(a0, a1, a2, a3, padded, packed + <usize>m * pitch, 16);
    }
    const to = sentence * load<i32>(p, 48) + load<i32>(p, 52) - skip + first;
    for (let column = 0; column < n; column += 8) {
      const panel = w + (<usize>column * <usize>k << 2);
      const some = min(8, n - column), left = <usize>some << 2;
      let lowBias = zero(), highBias = zero();
      if (biased) {
        memory.copy(scratch + SPARE, bias + (<usize>column << 2), left);
        lowBias = v128.load(scratch + SPARE);
        highBias = v128.load(scratch + SPARE, 16);
      }
      for (let m = 0; m < count; m += 4) {
        tilePacked(packed + <usize>m * pitch, panel, k, scratch, false);
        const end = min(4, count - m);
        for (let r = max(0, skip - first - m); r < end; r++) {
          const out = y + (<usize>((to + m + r) * n + column) << 2);
          const sums = scratch + (<usize>r << 5);
          if (some == 8) {
            storeEight(sums, lowBias, highBias, out, residual, activate);
            continue;
          }
          for (let i: usize = 0; i < left; i += 4) store<f32>(scratch + SPARE + i, load<f32>(out + i));
          storeEight(sums, lowBias, highBias, scratch + SPARE, residual, activate);
          for (let i: usize = 0; i < left; i += 4) store<f32>(out + i, load<f32>(scratch + SPARE + i));
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
