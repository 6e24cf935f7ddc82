// Which frame of x a tap of a transposed convolution's product reads. Frames outside the input are
// zeros.
fn frame(row: u32, tap: u32) -> i32 {
  let at = i32(row + tap) - i32(p.left);
  return select(-1, at, at < i32(p.frames)); // negative ones stay negative
}
