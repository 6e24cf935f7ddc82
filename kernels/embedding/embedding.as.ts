// Token and position embeddings: the table's rows for the token ids, plus the row of the position.
//   x[m] = Σ_c table[c · V + ids[m, c]] + positions[call.start + m]   (embedding)
//   x[b] = table[state.token] + positions[state.position]             (embedding_decode)
// torch: nn.Embedding.
// The tables are matrices of weights, in panels of 16 rows (common/weights.as.ts): the numbers of a
// row stand a panel's step apart. Threads divide the rows of x.

import { DONE, POSITION, ROW_BYTES } from '../common/decode.as';
import { share } from '../common/share.as';
import { loadHalf } from '../common/simd.as';
import { PANEL, panelAt, panelStep, placeOfHalf } from '../common/weights.as';

/** x (H) += row n of the table w. */
function addRow(x: usize, w: usize, n: i32, h: i32, f32s: u32): void {
  const step = panelStep(f32s);
  const row = n % PANEL;
  let from = panelAt(w, n, h, f32s) + (f32s ? <usize>row << 2 : <usize>placeOfHalf(row) << 1);
  for (const end = x + (<usize>h << 2); x < end; x += 4, from += step)
    store<f32>(x, load<f32>(x) + (f32s ? load<f32>(from) : loadHalf(from)));
}

/** x (H) += a row of f32. */
function addPlainRow(x: usize, row: usize, h: i32): void {
  for (let i: usize = 0; i < <usize>h << 2; i += 16) v128.store(x + i, f32x4.add(v128.load(x + i), v128.load(row + i)));
}

export function embedding(
  params: usize, // H, V, pitch of ids, columns that are summed, 1: w is rows of f32
  call: usize, // M, start, slot
  ids: usize, // (M, pitch)
  w: usize, // (tables · V, H)
  positions: usize, // (block_size, H) f32
  x: usize, // (M, H)
  WEIGHTS_F32: u32, thread: i32, threads: i32,
): void {
  const h = load<i32>(params), vocab = load<i32>(params, 4), pitch = load<i32>(params, 8);
  const columns = load<i32>(params, 12);
  const rows = load<i32>(call), start = load<i32>(call, 4), plain = load<u32>(params, 16);
  for (let m = share(rows, thread, threads); m < share(rows, thread + 1, threads); m++) {
    const to = x + (<usize>m * <usize>h << 2);
    memory.copy(to, positions + (<usize>(start + m) * <usize>h << 2), <usize>h << 2);
    for (let c = 0; c < columns; c++) {
      const n = c * vocab + load<i32>(ids + (<usize>(m * pitch + c) << 2));
      if (plain) addPlainRow(to, w + (<usize>n * <usize>h << 2), h);
      else addRow(to, w, n, h, WEIGHTS_F32);
    }
  }
}

export function embedding_decode(
  params: usize, // H
  state: usize, // (B) Rows
  w: usize, // (V, H)
  positions: usize, // (block_size, H) f32
  x: usize, // (B, H)
  WEIGHTS_F32: u32, gridY: i32, thread: i32, threads: i32,
): void {
  const h = load<i32>(params);
  for (let b = share(gridY, thread, threads); b < share(gridY, thread + 1, threads); b++) {
    const row = state + <usize>b * ROW_BYTES;
    if (load<u32>(row + DONE)) continue;
    const to = x + (<usize>(b * h) << 2);
    memory.copy(to, positions + (<usize>load<i32>(row + POSITION) * <usize>h << 2), <usize>h << 2);
    addRow(to, w, load<i32>(row), h, WEIGHTS_F32);
  }
}
