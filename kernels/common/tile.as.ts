// The inner loop of every product of many rows: 4 rows of a by a panel of 8 columns of b.
//   c[r, j] = Σ_k a[r, k] · b[k, j],   r < 4, j < 8
// Eight sums of four lanes are all that the 16 vector registers of a processor hold beside the
// operands: tiles of 5 × 8 and 4 × 12 spill and take twice as long.

import { madd, transpose4, zero } from './simd.as';

/**
 * Writes c (4, 8) from four rows of a side by side, a (k, 4) as `packRows` leaves them, and the
 * panel b (k, 8) f32, which begins at a multiple of 16 bytes. `add`: adds to what c holds. Rows of a
 * each at an address of their own would take a tenth longer: there is one address to count up here.
 */
export function tilePacked(a: usize, b: usize, k: i32, c: usize, add: bool): void {
  let c00 = zero(), c01 = zero(), c10 = zero(), c11 = zero(), c20 = zero(), c21 = zero(), c30 = zero(), c31 = zero();
  if (add) {
    c00 = v128.load(c);     c01 = v128.load(c, 16);
    c10 = v128.load(c, 32); c11 = v128.load(c, 48);
    c20 = v128.load(c, 64); c21 = v128.load(c, 80);
    c30 = v128.load(c, 96); c31 = v128.load(c, 112);
  }
  let v: v128, b0: v128, b1: v128;
  const end = b + (<usize>k << 5);
  do {
    b0 = v128.load(b); b1 = v128.load(b, 16);
    v = v128.load32_splat(a);     c00 = madd(v, b0, c00); c01 = madd(v, b1, c01);
    v = v128.load32_splat(a, 4);  c10 = madd(v, b0, c10); c11 = madd(v, b1, c11);
    v = v128.load32_splat(a, 8);  c20 = madd(v, b0, c20); c21 = madd(v, b1, c21);
    v = v128.load32_splat(a, 12); c30 = madd(v, b0, c30); c31 = madd(v, b1, c31);
    a += 16; b += 32;
  } while (b != end);
  v128.store(c, c00);     v128.store(c, c01, 16);
  v128.store(c, c10, 32); v128.store(c, c11, 48);
  v128.store(c, c20, 64); v128.store(c, c21, 80);
  v128.store(c, c30, 96); v128.store(c, c31, 112);
}

/**
 * Four rows of k f32, a multiple of 4, side by side: four numbers for each k, `step` bytes apart. 16
 * makes a (k, 4), and 32 half of a panel (k, 8).
 */
export function packRows(a0: usize, a1: usize, a2: usize, a3: usize, k: i32, to: usize, step: usize): void {
  const end = a0 + (<usize>k << 2);
  while (a0 < end) {
    transpose4(v128.load(a0), v128.load(a1), v128.load(a2), v128.load(a3), to, step);
    to += 4 * step;
    a0 += 16;
    a1 += 16;
    a2 += 16;
    a3 += 16;
  }
}
