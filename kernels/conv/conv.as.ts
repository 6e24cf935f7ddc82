// Convolutions over time as products of matrices:
// - Left operand: a row is a window of frames of the activations x (B, L, C_in), with ELU as an
//   optional prologue.
// - Right operand: the weight with a row for each (tap, channel) of the window, its columns in
//   panels of 8 (conv1d.ts, `ordered`).
// - Epilogue: bias, residual and ELU.
// torch: nn.Conv1d behind the padding of HF EncodecConv1d; nn.ConvTranspose1d before the trimming
// of HF EncodecConvTranspose1d, whose output frames are columns (conv_transpose1d.wgsl).
// conv/bindings.wgsl lists the words of p. Threads divide the blocks of rows of all sentences.
//
// Channels are last, so without dilation the window of a row is consecutive in memory, and windows
// overlap: rows are packed from the frames of a block where these are, or from one copy with ELU in
// it, which computes ELU of each element once and not once for each tap.

import { elu4 } from '../common/activations.as';
import { share } from '../common/share.as';
import { madd, sum4, zero } from '../common/simd.as';
import { packRows, tilePacked } from '../common/tile.as';

// Scratch: a tile of sums, the block's frames, then its rows, packed, or the columns of a narrow w.
const FRAMES: usize = 128;

/** The frame of the slice at a position, which is negative in the padding; negative for zeros. */
function frame(p: usize, position: i32, reflected: bool): i32 {
  const frames = load<i32>(p, 28), mirror = load<i32>(p, 36);
  let at = position;
  if (reflected) {
    at = abs(at);
    if (at > mirror) at = 2 * mirror - at;
  }
  return at < frames ? at : -1;
}

/**
 * The address of the windows of rows `first` … `first + count − 1`: in x if they can be read there,
 * else of a copy at `to`. Row by row they are `windowStep` bytes apart.
 */
function windows(p: usize, x: usize, sentence: i32, first: i32, count: i32, reflected: bool, to: usize): usize {
  const channels = load<i32>(p, 16), taps = load<i32>(p, 4) / channels;
  const stride = load<i32>(p, 40), dilation = load<i32>(p, 44), elu = load<u32>(p, 60);
  const bytes = <usize>channels << 2;
  const slice = x + <usize>(sentence * load<i32>(p, 20) + load<i32>(p, 24)) * bytes;
  const start = first * stride - load<i32>(p, 32);
  const apart = dilation != 1;
  const slots = apart ? count * taps : (count - 1) * stride + taps;
  let from = to;
  if (!apart && (channels & 3) == 0 && start >= 0 && start + slots <= load<i32>(p, 28)) {
    from = slice + <usize>start * bytes;
    if (!elu) return from;
  } else {
    for (let slot = 0, at = to; slot < slots; slot++, at += bytes) {
      const position = apart ? start + (slot / taps) * stride + (slot % taps) * dilation : start + slot;
      const source = frame(p, position, reflected);
      if (source < 0) memory.fill(at, 0, bytes);
      else memory.copy(at, slice + <usize>source * bytes, bytes);
    }
  }
  const end = to + <usize>slots * bytes;
  if (elu) for (let at = to; at < end; at += 16, from += 16) v128.store(at, elu4(v128.load(from)));
  return to;
}

/** Bytes from the window of a row to that of the next. */
function windowStep(p: usize): usize {
  return <usize>(load<i32>(p, 44) != 1 ? load<i32>(p, 4) : load<i32>(p, 40) * load<i32>(p, 16)) << 2;
}

/** Adds to eight columns of `count` rows the bias and what y holds, applies ELU, writes them to y. */
function storeEight(sums: usize, bias: usize, y: usize, pitch: usize, count: i32, residual: u32, activate: u32): void {
  let b0 = zero(), b1 = zero();
  if (bias) {
    b0 = v128.load(bias);
    b1 = v128.load(bias, 16);
  }
  do {
    let lo = f32x4.add(v128.load(sums), b0), hi = f32x4.add(v128.load(sums, 16), b1);
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
    sums += 32;
    y += pitch;
  } while (--count);
}

/** The same of `columns` columns, one number at a time. */
function storeSome(
  sums: usize, bias: usize, y: usize, pitch: usize, count: i32, columns: i32, residual: u32, activate: u32,
): void {
  const bytes = <usize>columns << 2;
  do {
    for (let j: usize = 0; j < bytes; j += 4) {
      let v = load<f32>(sums + j);
      if (bias) v += load<f32>(bias + j);
      if (residual) v += load<f32>(y + j);
      if (activate) v = f32x4.extract_lane(elu4(f32x4.splat(v)), 0);
      store<f32>(y + j, v);
    }
    sums += 32;
    y += pitch;
  } while (--count);
}

/** A column of the sums of four rows: their windows at a0 … a3, each (k), times w (k). */
function dotFour(a0: usize, a1: usize, a2: usize, a3: usize, w: usize, k: i32, c: usize): void {
  let s0 = zero(), s1 = zero(), s2 = zero(), s3 = zero(), v: v128;
  for (const end = w + (<usize>(k & ~3) << 2); w < end; w += 16) {
    v = v128.load(w);
    s0 = madd(v, v128.load(a0), s0);
    s1 = madd(v, v128.load(a1), s1);
    s2 = madd(v, v128.load(a2), s2);
    s3 = madd(v, v128.load(a3), s3);
    a0 += 16; a1 += 16; a2 += 16; a3 += 16;
  }
  let t0 = sum4(s0), t1 = sum4(s1), t2 = sum4(s2), t3 = sum4(s3);
  for (k &= 3; k > 0; k--, w += 4) {
    const u = load<f32>(w);
    t0 += u * load<f32>(a0);
    t1 += u * load<f32>(a1);
    t2 += u * load<f32>(a2);
    t3 += u * load<f32>(a3);
    a0 += 4; a1 += 4; a2 += 4; a3 += 4;
  }
  store<f32>(c, t0);
  store<f32>(c, t1, 32);
  store<f32>(c, t2, 64);
  store<f32>(c, t3, 96);
}

// @ts-ignore: decorator
@inline function convolve(
  p: usize, x: usize, w: usize, bias: usize, y: usize, reflected: bool, narrow: bool, batch: i32, thread: i32,
  threads: i32, scratch: usize,
): void {
  const skip = load<i32>(p, 56), rows = load<i32>(p) - skip, k = load<i32>(p, 4), n = load<i32>(p, 8);
  const biased = load<u32>(p, 64), residual = load<u32>(p, 68), activate = load<u32>(p, 72);
  const padded = (k + 3) & ~3;
  const rowBytes = <usize>padded << 2, pitch = <usize>n << 2, step = windowStep(p);
  // Blocks small enough that all threads have some, and that one stays in the L2 cache.
  const room = <i32>((<usize>SCRATCH_BYTES - FRAMES) / (2 * rowBytes)) & ~3;
  const even = ((rows * batch) / (4 * threads) + 3) & ~3;
  const block = max(4, min(min(64, even), room));
  const blocks = (rows + block - 1) / block;
  const beside = scratch + FRAMES + <usize>block * rowBytes; // packed rows, or columns
  if (narrow)
    for (let j = 0; j < n; j++)
      for (let i = 0; i < k; i++)
        store<f32>(beside + <usize>j * rowBytes + (<usize>i << 2), load<f32>(w + (<usize>i << 5) + (<usize>j << 2)));

  for (let item = share(blocks * batch, thread, threads); item < share(blocks * batch, thread + 1, threads); item++) {
    const sentence = item / blocks, first = (item % blocks) * block;
    const count = min(block, rows - first);
    const a = windows(p, x, sentence, skip + first, count, reflected, scratch + FRAMES);
    const last = a + <usize>(count - 1) * step;
    if (!narrow) {
      for (let m = 0; m < count; m += 4) {
        const a0 = a + <usize>m * step;
        const a1 = min(a0 + step, last), a2 = min(a1 + step, last), a3 = min(a2 + step, last);
        packRows(a0, a1, a2, a3, padded, beside + <usize>m * rowBytes, 16);
      }
    }
    const to = y + <usize>(sentence * load<i32>(p, 48) + load<i32>(p, 52) + first) * pitch;
    for (let column = 0; column < n; column += 8) {
      const panel = w + (<usize>column * <usize>k << 2);
      const added = biased ? bias + (<usize>column << 2) : 0;
      const columns = n - column;
      for (let m = 0; m < count; m += 4) {
        if (narrow) {
          const a0 = a + <usize>m * step;
          const a1 = min(a0 + step, last), a2 = min(a1 + step, last), a3 = min(a2 + step, last);
          for (let j = 0; j < n; j++)
            dotFour(a0, a1, a2, a3, beside + <usize>j * rowBytes, k, scratch + (<usize>j << 2));
        } else tilePacked(beside + <usize>m * rowBytes, panel, k, scratch, false);
        const out = to + <usize>m * pitch + (<usize>column << 2);
        const some = min(4, count - m);
        if (columns >= 8) storeEight(scratch, added, out, pitch, some, residual, activate);
        else storeSome(scratch, added, out, pitch, some, columns, residual, activate);
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
  convolve(p, x, w, bias, y, true, false, gridZ, thread, threads, scratch);
}

/** The same for up to four columns, each the dot product of a window and a column of w. */
export function conv1d_narrow(
  p: usize, // the words of conv/bindings.wgsl
  x: usize, // (B, L, C_in)
  w: usize, // (taps · C_in, C_out) in panels of 8 columns
  bias: usize, // (C_out)
  y: usize, // (B, L', C_out)
  gridZ: i32, thread: i32, threads: i32, scratch: usize,
): void {
  convolve(p, x, w, bias, y, true, true, gridZ, thread, threads, scratch);
}

export function conv_transpose1d(
  p: usize, // the words of conv/bindings.wgsl
  x: usize, // (B, L, C_in)
  w: usize, // (taps · C_in, stride · C_out) in panels of 8 columns
  bias: usize, // (stride · C_out)
  y: usize, // (B, L · stride, C_out)
  gridZ: i32, thread: i32, threads: i32, scratch: usize,
): void {
  convolve(p, x, w, bias, y, false, false, gridZ, thread, threads, scratch);
}
