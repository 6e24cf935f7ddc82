// Counter-based random numbers: Threefry-2x32 with 20 rounds (Salmon et al. 2011, "Parallel random
// numbers: as easy as 1, 2, 3"). The number for (key, counter) depends on nothing else, so a
// sentence's draws do not depend on the batch. kernels/sample/random.ts is the same in TypeScript,
// bit for bit.

/// x rotated left by n bits, 0 < n < 32.
fn rotate_left(x: u32, n: u32) -> u32 {
  return (x << n) | (x >> (32u - n));
}

/// x after four rounds with these rotations, with two words of the key schedule added.
fn four_rounds(x: vec2<u32>, rotations: vec4<u32>, key: vec2<u32>) -> vec2<u32> {
  var y = x;
  for (var i = 0u; i < 4u; i++) {
    y.x += y.y;
    y.y = rotate_left(y.y, rotations[i]) ^ y.x;
  }
  return y + key;
}

/// Two random words for (key, counter).
fn threefry2x32(key: vec2<u32>, counter: vec2<u32>) -> vec2<u32> {
  let third = 0x1bd11bdau ^ key.x ^ key.y;
  let a = vec4<u32>(13u, 15u, 26u, 6u);
  let b = vec4<u32>(17u, 29u, 16u, 24u);
  var x = counter + key;
  x = four_rounds(x, a, vec2<u32>(key.y, third + 1u));
  x = four_rounds(x, b, vec2<u32>(third, key.x + 2u));
  x = four_rounds(x, a, vec2<u32>(key.x, key.y + 3u));
  x = four_rounds(x, b, vec2<u32>(key.y, third + 4u));
  return four_rounds(x, a, vec2<u32>(third, key.x + 5u));
}

/// A standard Gumbel number, −log(−log(1 − v)) for v = (bits + 1/2) / 2^32: argmax_i (score_i +
/// gumbel_i) is a draw from softmax(score). Small v give the large numbers that decide the draw,
/// and there WGSL's log may be off by 2^-21, more than v itself, so a series replaces it. The
/// result is finite.
fn gumbel(bits: u32) -> f32 {
  let v = (f32(bits) + 0.5) * 2.3283064365386963e-10;
  let z = v / (2.0 - v);
  let zz = z * z;
  let small = 2.0 * z * (1.0 + zz * (0.33333334 + zz * (0.2 + zz * 0.14285715))); // 2 artanh(z) = -log(1 - v)
  let large = -log((f32(~bits) + 0.5) * 2.3283064365386963e-10);                  // 1 - v without cancellation
  return -log(select(large, small, v < 0.25));
}
