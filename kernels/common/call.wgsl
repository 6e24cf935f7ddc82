// One run over many positions of one sentence: a prefill, or a window of the fine model. Written by
// the host before each run.
struct Call {
  count: u32, // positions of this run; grids are sized for the most there can be, and end early
  start: u32, // positions cached before it
  slot: u32,  // row of the batch whose cache is meant
}
