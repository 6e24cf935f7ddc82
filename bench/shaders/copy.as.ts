// y = x, each thread its share in one walk: what memory can move, both ways, with all threads.
// Four loads of 128 bits are in flight at once.

import { share } from '../../kernels/common/share.as';

export function copy(
  sizes: usize, // n, in blocks of 16 bytes
  x: usize, // (n)
  y: usize, // (n)
  thread: i32, threads: i32,
): void {
  const n = load<i32>(sizes);
  let i = <usize>share(n, thread, threads) << 4;
  const end = <usize>share(n, thread + 1, threads) << 4;
  for (; i + 64 <= end; i += 64) {
    const a = v128.load(x + i), b = v128.load(x + i, 16), c = v128.load(x + i, 32), d = v128.load(x + i, 48);
    v128.store(y + i, a);
    v128.store(y + i, b, 16);
    v128.store(y + i, c, 32);
    v128.store(y + i, d, 48);
  }
  for (; i < end; i += 16) v128.store(y + i, v128.load(x + i));
}
