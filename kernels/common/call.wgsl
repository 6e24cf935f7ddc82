// One run over M positions of one sentence: a prefill, or a window of the fine model. The host
// writes it before each run (kernels/state.ts, writeCall).
struct Call {
  count: u32, // M: positions of this run. Grids are sized for the largest M; spare workgroups return
  start: u32, // P: positions of the sentence that are cached before this run
  slot: u32,  // index of the sentence in the batch: which part of the KV cache is meant
}
