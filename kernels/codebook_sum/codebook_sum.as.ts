// Decodes a residual vector quantiser: y[b, t] = Σ_q table[q, codes[b, q, t]].
// HF: EncodecResidualVectorQuantizer.decode.
// Shapes: Q codebooks, L frames, D channels, below. The caller checks that codes are below SIZE.
// Threads divide the frames of all sentences.

import { share } from '../common/share.as';

export function codebook_sum(
  p: usize, // L, Q
  codes: usize, // (B, Q, L)
  table: usize, // (at least Q, SIZE, D)
  y: usize, // (B, L, D)
  SIZE: i32, D: i32, gridZ: i32, thread: i32, threads: i32,
): void {
  const frames = load<i32>(p), codebooks = load<i32>(p, 4);
  const all = frames * gridZ;
  for (let i = share(all, thread, threads); i < share(all, thread + 1, threads); i++) {
    const b = i / frames, t = i % frames;
    const to = y + (<usize>(i * D) << 2);
    memory.fill(to, 0, <usize>D << 2);
    for (let q = 0; q < codebooks; q++) {
      const code = load<i32>(codes + (<usize>((b * codebooks + q) * frames + t) << 2));
      const entry = table + (<usize>((q * SIZE + code) * D) << 2);
      for (let d: usize = 0; d < <usize>D << 2; d += 4) store<f32>(to + d, load<f32>(to + d) + load<f32>(entry + d));
    }
  }
}
