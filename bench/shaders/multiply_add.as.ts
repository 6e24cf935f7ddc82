// Twelve chains of c = c / 2 + 1, in four lanes each: multiply-adds that touch no memory, enough of
// them that none waits for the one before. With two constants they fill 14 of 16 registers. All end
// at 2, so that what was computed can be checked.

import { madd, sum4, zero } from '../../kernels/common/simd.as';

export function multiply_add(
  sizes: usize, // rounds
  sums: usize, // (threads)
  thread: i32,
): void {
  let rounds = load<i32>(sizes);
  const half = f32x4.splat(0.5), one = f32x4.splat(1);
  let a = zero(), b = zero(), c = zero(), d = zero(), e = zero(), f = zero();
  let g = zero(), h = zero(), i = zero(), j = zero(), k = zero(), l = zero();
  do {
    a = madd(a, half, one); b = madd(b, half, one); c = madd(c, half, one); d = madd(d, half, one);
    e = madd(e, half, one); f = madd(f, half, one); g = madd(g, half, one); h = madd(h, half, one);
    i = madd(i, half, one); j = madd(j, half, one); k = madd(k, half, one); l = madd(l, half, one);
  } while (--rounds);
  a = f32x4.add(f32x4.add(f32x4.add(a, b), f32x4.add(c, d)), f32x4.add(f32x4.add(e, f), f32x4.add(g, h)));
  store<f32>(sums + (<usize>thread << 2), sum4(f32x4.add(a, f32x4.add(f32x4.add(i, j), f32x4.add(k, l)))));
}
