// The random numbers of kernels/sample, as kernels that a test can call: each turns random bits,
// (count) u32, count a multiple of 4, into numbers (count) f32.

import { gumbel4, gumbelBound4, threefry4 } from '../../../kernels/sample/random.as';

export function gumbel(bits: usize, y: usize, count: i32): void {
  for (const end = bits + (<usize>count << 2); bits < end; bits += 16, y += 16)
    v128.store(y, gumbel4(v128.load(bits)));
}

export function bound(bits: usize, y: usize, count: i32): void {
  for (const end = bits + (<usize>count << 2); bits < end; bits += 16, y += 16)
    v128.store(y, gumbelBound4(v128.load(bits)));
}

/** Fills y with the bits for `key` (2) and the counters (step, 0), (step, 1), …; key and step at x. */
export function threefry(x: usize, y: usize, count: i32): void {
  for (let i = 0; i < count; i += 4)
    v128.store(y + (<usize>i << 2), threefry4(load<u32>(x), load<u32>(x, 4), load<u32>(x, 8), i));
}
