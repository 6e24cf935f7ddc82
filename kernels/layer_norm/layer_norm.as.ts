// LayerNorm over the last dimension of many rows:
//   y = (x − mean) / √(variance + eps) · weight + bias
// in f32, with the biased variance in a second pass.
// torch: nn.LayerNorm.
// Shapes: x and y (M, C). Threads divide the rows.

import { normalise } from '../common/products.as';
import { share } from '../common/share.as';

export function layer_norm(
  p: usize, // C, bias, eps
  call: usize, // M, start, slot
  x: usize, // (M, C)
  weight: usize, // (C)
  bias: usize, // (C)
  y: usize, // (M, C)
  thread: i32, threads: i32,
): void {
  const c = load<i32>(p), biased = load<u32>(p, 4), eps = load<f32>(p, 8), rows = load<i32>(call);
  const pitch = <usize>c << 2;
  for (let m = share(rows, thread, threads); m < share(rows, thread + 1, threads); m++) {
    const to = y + <usize>m * pitch;
    normalise(x + <usize>m * pitch, c, 1, weight, eps, 1, to);
    if (biased)
      for (let i: usize = 0; i < pitch; i += 16) v128.store(to + i, f32x4.add(v128.load(to + i), v128.load(bias + i)));
  }
}
