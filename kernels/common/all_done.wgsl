// Early exit of a decode step. The file that includes this also includes common/gemv.wgsl
// (`tile_rows`) and declares `state`.

/// True when every sentence of the tile that starts at row `batch` of x has ended.
fn all_done(batch: u32) -> bool {
  var done = 1u;
  for (var j = 0u; j < tile_rows(batch); j++) { done &= state[batch + j].done; }
  return done == 1u;
}
