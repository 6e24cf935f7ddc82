// The frames that a transposed convolution's product reads. Frames outside the slice are zeros.

/// The frame of the slice that (row, tap) reads; negative where it reads zeros.
fn frame(row: u32, tap: u32) -> i32 {
  let at = i32(row + tap) - i32(p.left);
  return select(-1, at, at < i32(p.frames)); // a negative frame stays negative
}
