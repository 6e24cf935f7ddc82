// What changes from token to token, one Row for each sentence of the batch. The sampling kernel
// advances it on the GPU; everyone else reads it through a uniform binding (which also tells the
// compiler that control flow on it is uniform).
struct Row {
  token: u32,      // the token to feed: a row of the stage's embedding table
  position: u32,   // where it stands in the sequence = how many positions are cached before it
  step: u32,       // tokens drawn so far in this stage
  done: u32,       // 1: the sentence has ended; its row computes nothing that counts
  seed: vec2<u32>, // key of the row's random numbers
  limit: u32,      // tokens after which the sentence ends
  base: u32,       // draws are stored from here on in the row of the token buffer
}
