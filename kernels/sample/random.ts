// The host's copy of sample/random.wgsl: the random generator Threefry-2x32 with 20 rounds (Salmon
// et al. 2011), bit for bit, and Gumbel numbers made from it. The GPU draws the tokens; the host
// derives the keys, and tests predict the draws.

/** Two 32-bit words. */
export type Words = readonly [number, number];

const ROTATIONS = [13, 15, 26, 6, 17, 29, 16, 24] as const;

/**
 * The two random words for (key, counter). `threefry2x32(seed, [part, index])` also derives an
 * independent key for a part of a stream.
 */
export function threefry2x32(key: Words, counter: Words): [number, number] {
  const schedule = [key[0], key[1], 0x1bd11bda ^ key[0] ^ key[1]];
  let x = (counter[0] + key[0]) | 0;
  let y = (counter[1] + key[1]) | 0;
  for (let round = 0; round < 20; round++) {
    const n = ROTATIONS[round % 8]!;
    x = (x + y) | 0;
    y = ((y << n) | (y >>> (32 - n))) ^ x;
    if (round % 4 === 3) {
      const i = (round + 1) / 4;
      x = (x + schedule[i % 3]!) | 0;
      y = (y + schedule[(i + 1) % 3]! + i) | 0;
    }
  }
  return [x >>> 0, y >>> 0];
}

/** A standard Gumbel number from 32 random bits: −log(−log(1 − v)) with v = (bits + ½) / 2³². */
export const gumbel = (bits: number): number => -Math.log(-Math.log1p(-(bits + 0.5) / 2 ** 32));
