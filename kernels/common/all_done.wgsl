/// True when every sentence of the tile has ended: there is nothing left to compute.
fn all_done(batch: u32) -> bool {
  var done = 1u;
  for (var j = 0u; j < tile_rows(batch); j++) { done &= state[batch + j].done; }
  return done == 1u;
}
