// The frames that a convolution reads. The ends of the slice are reflected without repeating the
// edge (torch pad mode "reflect"). An input that is not longer than its padding is continued with
// zeros up to `mirror`, as HF EncodecConv1d does before it pads.

/// The frame of the slice that (row, tap) reads; negative where it reads zeros.
fn frame(row: u32, tap: u32) -> i32 {
  let mirror = i32(p.mirror);
  var at = abs(i32(row * p.stride + tap * p.dilation) - i32(p.left));
  if (at > mirror) { at = 2 * mirror - at; }
  return select(-1, at, at < i32(p.frames));
}
