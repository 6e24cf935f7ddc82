// What changes from token to token: one Row for each sentence of the batch. The sampling kernel
// advances it on the GPU; every other kernel reads it as a uniform, which also tells the compiler
// that control flow on it is uniform.
struct Row {
  token: u32,      // the token to feed: a row of the stage's embedding table
  position: u32,   // the token's index in the sequence: how many positions are cached before it (P)
  step: u32,       // tokens drawn so far in this stage
  done: u32,       // 1: the sentence has ended, and kernels skip it
  seed: vec2<u32>, // key of the sentence's random numbers
  limit: u32,      // tokens after which the sentence ends
  base: u32,       // the sentence's draws are stored in the token buffer from this column on
}
