// Rows of a stored tensor (f32, f16 or bf16, dense) as rows of weights (f32 or f16): into panels of
// 16 rows, in which a processor walks through a matrix (common/weights.as.ts says how they look).
// Rounds as torch's half(): to nearest even, subnormals kept, infinity from 65,520 on.
// torch: half(), float().
// Shapes: source (rows, K), of which `rows` become rows `first`, … of y (N, PITCH); columns from K
// on are zeros.
// Threads divide the panels.

import { share } from '../common/share.as';
import { HALF_SCALE, roundToHalves } from '../common/simd.as';
import { PANEL, panelAt, panelStep, placeOfHalf } from '../common/weights.as';

/** Element i of the source, as f32. */
// @ts-ignore: decorator
@inline function element(source: usize, i: usize, dtype: u32): f32 {
  if (dtype == 0) return load<f32>(source + (i << 2));
  if (dtype == 1) return wholeHalf(load<u16>(source + (i << 1)));
  return reinterpret<f32>(<u32>load<u16>(source + (i << 1)) << 16);
}

/** A half as f32, infinities and NaN among them. */
function wholeHalf(bits: u32): f32 {
  if ((bits & 0x7c00) == 0x7c00) return reinterpret<f32>(((bits & 0x8000) << 16) | 0x7f800000 | ((bits & 0x3ff) << 13));
  return reinterpret<f32>(((<i32>(bits << 16) >> 3) & 0x8fffe000)) * HALF_SCALE;
}

export function cast(
  params: usize, // rows, first
  source: usize, // (rows, K)
  y: usize, // (N, PITCH)
  K: i32, PITCH: i32, SOURCE: u32, WEIGHTS_F32: u32, thread: i32, threads: i32,
): void {
  const first = load<i32>(params, 4), end = first + load<i32>(params);
  const step = panelStep(WEIGHTS_F32);
  const start = first / PANEL;
  const panels = (end + PANEL - 1) / PANEL - start;
  for (let p = start + share(panels, thread, threads); p < start + share(panels, thread + 1, threads); p++) {
    for (let n = max(first, p * PANEL); n < min(end, (p + 1) * PANEL); n++) {
      const from = <usize>(n - first) * <usize>K;
      const panel = panelAt(y, n, PITCH, WEIGHTS_F32);
      if (WEIGHTS_F32) {
        let to = panel + (<usize>(n % PANEL) << 2);
        for (let k = 0; k < PITCH; k++, to += step) store<f32>(to, k < K ? element(source, from + k, SOURCE) : 0);
        continue;
      }
      let to = panel + (<usize>placeOfHalf(n % PANEL) << 1);
      if (SOURCE == 1) {
        for (let k = 0; k < PITCH; k++, to += step) store<u16>(to, k < K ? load<u16>(source + ((from + k) << 1)) : 0);
        continue;
      }
      for (let k = 0; k < PITCH; k += 4, to += 4 * step) {
        let v = f32x4.splat(k < K ? element(source, from + k, SOURCE) : 0);
        v = f32x4.replace_lane(v, 1, k + 1 < K ? element(source, from + k + 1, SOURCE) : 0);
        v = f32x4.replace_lane(v, 2, k + 2 < K ? element(source, from + k + 2, SOURCE) : 0);
        v = f32x4.replace_lane(v, 3, k + 3 < K ? element(source, from + k + 3, SOURCE) : 0);
        const h = roundToHalves(v);
        store<u16>(to, i32x4.extract_lane(h, 0));
        store<u16>(to + step, i32x4.extract_lane(h, 1));
        store<u16>(to + 2 * step, i32x4.extract_lane(h, 2));
        store<u16>(to + 3 * step, i32x4.extract_lane(h, 3));
      }
    }
  }
}
