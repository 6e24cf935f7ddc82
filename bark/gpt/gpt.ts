// Bark's GPT: one transformer used three times, causal for the semantic and the coarse stage,
// bidirectional for the fine stage. Inference only. Reads top to bottom: weights, state, forward.
// Every step of the forward pass is one kernel, found by name: `linearDecode` is
// kernels/linear/linear_decode*.wgsl, `attention` is kernels/attention/attention*.wgsl.
// Tokens, windows and sampling rules live in the stages (semantic.ts, coarse.ts, fine.ts).
// Shapes: B sentences, M positions of one sentence, H hidden_size, V vocabulary. The residual
// stream, LayerNorm, softmax and logits are f32.
// Reference: suno-ai/bark model.py, model_fine.py; HF BarkCausalModel, BarkFineModel, BarkBlock,
// BarkSelfAttention.

import { attention, attentionDecode } from '../../kernels/attention/attention.ts';
import { embedding, embeddingDecode } from '../../kernels/embedding/embedding.ts';
import { layerNorm } from '../../kernels/layer_norm/layer_norm.ts';
import { linear, linearDecode, type RowWindow } from '../../kernels/linear/linear.ts';
import { qkv, qkvDecode, type LayerCache } from '../../kernels/qkv/qkv.ts';
import type { Destination } from '../../kernels/upload/destination.ts';
import type { WeightDType } from '../../kernels/upload/matrix.ts';
import type { RowRange } from '../../kernels/upload/upload.ts';
import type { Device } from '../../runtime/compute/device.ts';
import type { Owner } from '../../runtime/compute/ledger.ts';
import type { Allocator } from '../../runtime/compute/shape_only.ts';
import type { Recorder } from '../../runtime/compute/program.ts';
import type { Tensor } from '../../runtime/compute/tensor.ts';
import type { Weights } from '../../runtime/formats/weights.ts';
import type { BarkSubModelConfig } from '../config/config.ts';
import type { Linear, Norm } from '../../kernels/common/products.ts';

// ----------------------------------------------------------------------------- weights

/** x + attnOut(attention(attnIn(ln1(x)))), then x + mlpOut(gelu(mlpIn(ln2(x)))). */
interface Block {
  readonly attnIn: Linear; //  (3H, H) queries, keys, values; its norm is layernorm_1
  readonly attnOut: Linear; // (H, H)
  readonly mlpIn: Linear; //   (4H, H) its norm is layernorm_2
  readonly mlpOut: Linear; //  (H, 4H)
}

/** What all three models share: everything between the token embeddings and the heads. */
export interface Trunk {
  readonly config: BarkSubModelConfig;
  readonly positions: Tensor; // (block_size, H) f32
  readonly blocks: readonly Block[];
  readonly normFinal: Norm; // (H)
}

/** A causal model: one table and one head, which hold only the rows that generation can meet. */
export interface CausalGpt extends Trunk {
  readonly table: Tensor; // (V_in, H)
  readonly head: Linear; //  (V_out, H) its norm is layernorm_final
}

/**
 * Loads the blocks, the positions and the final norm. `normBias`: whether LayerNorms have biases;
 * the fine model's always have. `layers.n.attn.bias` is not a bias but the causal mask, which the
 * kernels compute themselves, and is not read. Throws `WeightsError` for a tensor that is missing
 * or of another shape.
 */
export async function loadTrunk(
  to: Destination,
  w: Weights,
  config: BarkSubModelConfig,
  normBias: boolean,
): Promise<Trunk> {
  const { hidden_size: H, block_size, bias, num_layers } = config;
  const norm = async (name: string): Promise<Norm> => ({
    weight: await to.vector(w.tensor(`${name}.weight`, [H], 'hidden_size')),
    bias: normBias ? await to.vector(w.tensor(`${name}.bias`, [H], 'hidden_size')) : null,
  });
  const linearAt = async (name: string, n: number, k: number, before: Norm | null): Promise<Linear> => {
    const part = {
      weight: await to.matrix(w.tensor(`${name}.weight`, [n, k], 'hidden_size')),
      bias: bias ? await to.vector(w.tensor(`${name}.bias`, [n], 'hidden_size')) : null,
      norm: before,
    };
    to.arrived();
    return { ...part, terms: await to.terms(part) };
  };
  const blocks: Block[] = [];
  for (let n = 0; n < num_layers; n++) {
    const at = `layers.${n}`;
    blocks.push({
      attnIn: await linearAt(`${at}.attn.att_proj`, 3 * H, H, await norm(`${at}.layernorm_1`)),
      attnOut: await linearAt(`${at}.attn.out_proj`, H, H, null),
      mlpIn: await linearAt(`${at}.mlp.in_proj`, 4 * H, H, await norm(`${at}.layernorm_2`)),
      mlpOut: await linearAt(`${at}.mlp.out_proj`, H, 4 * H, null),
    });
  }
  const positions = await to.vector(w.tensor('position_embeds_layer.weight', [block_size, H], 'block_size'));
  return { config, positions, blocks, normFinal: await norm('layernorm_final') };
}

/** Which rows of a causal model's table and head are wanted, as ranges one after the other. */
export interface Rows {
  readonly table: readonly RowRange[];
  readonly head: readonly RowRange[];
}

/** Loads a causal model, with all rows of its table and head or only with these. */
export async function loadCausalGpt(
  to: Destination,
  w: Weights,
  config: BarkSubModelConfig,
  rows?: Rows,
): Promise<CausalGpt> {
  const { hidden_size: H, input_vocab_size, output_vocab_size } = config;
  const trunk = await loadTrunk(to, w, config, config.bias);
  const table = await to.matrix(
    w.tensor('input_embeds_layer.weight', [input_vocab_size, H], 'input_vocab_size'),
    rows?.table,
  );
  const head = {
    weight: await to.matrix(w.tensor('lm_head.weight', [output_vocab_size, H], 'output_vocab_size'), rows?.head),
    bias: null,
    norm: trunk.normFinal,
  };
  to.arrived();
  return { ...trunk, table, head: { ...head, terms: await to.terms(head) } };
}

/** Number of times `loadTrunk` calls `to.arrived()`; the total for the progress bar. */
export const trunkTensors = (config: BarkSubModelConfig): number => 4 * config.num_layers;

// ----------------------------------------------------------------------------- state

/** The KV cache: keys and values of every layer, (B, heads, capacity, H / heads) each. */
export type KvCache = readonly LayerCache[];

export function createCache(
  device: Allocator,
  config: BarkSubModelConfig,
  batch: number,
  capacity: number,
  dtype: WeightDType,
  owner: Owner,
): KvCache {
  const shape = [batch, config.num_heads, capacity, config.hidden_size / config.num_heads];
  return Array.from({ length: config.num_layers }, (_, n) => ({
    keys: device.createTensor(shape, dtype, owner, `keys ${n}`),
    values: device.createTensor(shape, dtype, owner, `values ${n}`),
  }));
}

export function destroyCache(device: Device, cache: KvCache): void {
  for (const { keys, values } of cache) {
    device.destroyBuffer(keys.buffer);
    device.destroyBuffer(values.buffer);
  }
}

// ----------------------------------------------------------------------------- forward

/**
 * Decode: one token of every sentence through the whole model. LayerNorms are folded into the
 * products that follow them, so a layer takes five dispatches, and embedding and head two more.
 * `window` selects the rows of the head. Returns logits (B, window.count).
 */
export function decodeStep(r: Recorder, gpt: CausalGpt, cache: KvCache, state: Tensor, window?: RowWindow): Tensor {
  const B = cache[0]!.keys.shape[0]!;
  const H = gpt.config.hidden_size;
  const x = r.temp([B, H], 'x'); //         residual stream
  const q = r.temp([B, H], 'q'); //         queries
  const y = r.temp([B, H], 'attention'); // what attention reads out
  const h = r.temp([B, 4 * H], 'mlp'); //   inside the mlp
  embeddingDecode(r, x, gpt.table, gpt.positions, state); // x = table[token] + positions[position]
  for (const [n, block] of gpt.blocks.entries()) {
    qkvDecode(r, q, cache[n]!, x, block.attnIn, state); // q, k, v = W ln1(x); k and v join the cache
    attentionDecode(r, y, q, cache[n]!, state); // y = softmax(q kᵀ / √D) v
    linearDecode(r, x, y, block.attnOut, state, { residual: true }); // x += W y
    linearDecode(r, h, x, block.mlpIn, state, { gelu: true }); // h = gelu(W ln2(x))
    linearDecode(r, x, h, block.mlpOut, state, { residual: true }); // x += W h
  }
  const logits = r.temp([B, window?.count ?? gpt.head.weight.shape[0]!], 'logits');
  linearDecode(r, logits, x, gpt.head, state, window ? { window } : {}); // logits = W ln_final(x)
  r.free(x, q, y, h);
  return logits;
}

/**
 * The rows of a run whose result is wanted: those from `from` on. WebGPU bindings start at
 * multiples of 256 bytes, and so must row `from`.
 */
export interface LastRows {
  readonly from: number;
  /** The kernels' `Call` for these rows alone: start = from, count = M - from. */
  readonly call: Tensor;
}

/** The same memory, seen from row `from` on. */
const rowsFrom = (t: Tensor, from: number): Tensor => ({
  ...t,
  offset: t.offset + 4 * from * t.shape[1]!,
  shape: [t.shape[0]! - from, t.shape[1]!],
});

export interface RunOptions {
  causal: boolean;
  /** The table is embeddings that the host wrote, row by row, and no matrix of weights. */
  plainTable?: boolean;
  /** Stop after the last layer's keys and values: a prefill wants nothing but the cache. */
  cacheOnly?: boolean;
  /**
   * In the last layer, compute only these rows after keys and values; the other rows then hold no
   * result. Default: all rows.
   */
  last?: LastRows;
}

/**
 * Many positions of one sentence through the blocks, x (M, H) in place. Keys and values go to row
 * call.slot of the cache, from position call.start on. With M positions at once the products are
 * matrix products, and LayerNorm pays as a kernel of its own.
 */
export function runBlocks(
  r: Recorder,
  gpt: Trunk,
  x: Tensor,
  cache: KvCache,
  call: Tensor,
  { causal, cacheOnly = false, last }: RunOptions,
): void {
  const [M, H] = x.shape as [number, number];
  const normed = r.temp([M, H], 'normed');
  const q = r.temp([M, H], 'q');
  const h = r.temp([M, 4 * H], 'mlp');
  for (const [n, block] of gpt.blocks.entries()) {
    layerNorm(r, normed, x, block.attnIn.norm!, call); // normed = ln1(x)
    qkv(r, q, cache[n]!, normed, block.attnIn, call); // q, k, v = W normed; k and v join the cache
    const isLast = n === gpt.blocks.length - 1;
    if (cacheOnly && isLast) break;
    const rows = isLast && last ? last : { from: 0, call };
    const [xs, normeds, qs, hs] = [x, normed, q, h].map((t) => rowsFrom(t, rows.from)) as [
      Tensor,
      Tensor,
      Tensor,
      Tensor,
    ];
    attention(r, normeds, qs, cache[n]!, rows.call, { causal }); // normed = softmax(q kᵀ / √D) v
    linear(r, xs, normeds, block.attnOut, rows.call, { residual: true }); // x += W normed
    layerNorm(r, normeds, xs, block.mlpIn.norm!, rows.call); // normed = ln2(x)
    linear(r, hs, normeds, block.mlpIn, rows.call, { gelu: true }); // h = gelu(W normed)
    linear(r, xs, hs, block.mlpOut, rows.call, { residual: true }); // x += W h
  }
  r.free(normed, q, h);
}

/** Prefill: embeds ids (M, 1) u32 and runs the blocks. Returns the residual stream (M, H). */
export function runTokens(
  r: Recorder,
  gpt: Trunk,
  table: Tensor,
  ids: Tensor,
  cache: KvCache,
  call: Tensor,
  options: RunOptions,
): Tensor {
  const x = r.temp([ids.shape[0]!, gpt.config.hidden_size], 'x');
  embedding(r, x, ids, table, gpt.positions, call, { plain: options.plainTable ?? false });
  runBlocks(r, gpt, x, cache, call, options);
  return x;
}

/**
 * Logits (M, N) of a residual stream (M, H): the final LayerNorm and a head of N rows. Logits of
 * rows before `from` are not written.
 */
export function headLogits(
  r: Recorder,
  gpt: Trunk,
  x: Tensor,
  head: Pick<Linear, 'weight' | 'bias'>,
  { from, call }: LastRows,
): Tensor {
  const normed = r.temp(x.shape, 'normed');
  layerNorm(r, rowsFrom(normed, from), rowsFrom(x, from), gpt.normFinal, call);
  const logits = r.temp([x.shape[0]!, head.weight.shape[0]!], 'logits');
  linear(r, rowsFrom(logits, from), rowsFrom(normed, from), head, call);
  r.free(normed);
  return logits;
}
