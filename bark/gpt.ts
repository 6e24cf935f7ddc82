// Bark's GPT: one transformer used three times, causal (semantic, coarse) and bidirectional (fine). Inference only.
// It records kernels; tokens, windows and sampling rules live in the stages (semantic.ts, coarse.ts, fine.ts).
// Reference: suno-ai/bark model.py, model_fine.py; HF BarkCausalModel, BarkFineModel, BarkBlock, BarkSelfAttention.
// Shapes: B sentences, M positions of one run, H hidden_size, V vocabulary. Residual stream, LayerNorm, softmax and logits are f32.

import { attention, attentionRow } from '../kernels/attention.ts';
import { embedding, embeddingRow } from '../kernels/embedding.ts';
import { layerNorm } from '../kernels/layer_norm.ts';
import { linear, linearRow, type Linear, type Norm, type RowWindow } from '../kernels/linear.ts';
import { linearTerms } from '../kernels/linear_terms.ts';
import { qkv, qkvRow, type LayerCache } from '../kernels/qkv.ts';
import { uploadMatrix, uploadVector, type RowRange, type UploadOptions, type WeightDType } from '../kernels/upload.ts';
import type { Device } from '../runtime/device.ts';
import type { Owner } from '../runtime/memory.ts';
import type { Recorder } from '../runtime/program.ts';
import type { Tensor } from '../runtime/tensor.ts';
import type { Weights } from '../runtime/weights.ts';
import type { BarkSubModelConfig } from './config.ts';

// ---------------------------------------------------------------------------------------------------- weights

export interface Block {
  readonly attnIn: Linear; //  (3H, H) queries, keys, values; behind layernorm_1
  readonly attnOut: Linear; // (H, H)
  readonly mlpIn: Linear; //   (4H, H) behind layernorm_2
  readonly mlpOut: Linear; //  (H, 4H)
}

/** The part that all three models share: everything between the token embeddings and the heads. */
export interface Trunk {
  readonly config: BarkSubModelConfig;
  readonly positions: Tensor; // (block_size, H) f32
  readonly blocks: readonly Block[];
  readonly normFinal: Norm;
}

/** A causal model: one table, one head, each with the rows that generation can meet. */
export interface CausalGpt extends Trunk {
  readonly table: Tensor; // (V_in, H)
  readonly head: Linear; //  (V_out, H) behind layernorm_final
}

export interface LoadOptions extends UploadOptions {
  /** Called for each tensor that `trunkTensors` and the ends count. */
  onTensor?: (() => void) | undefined;
}

/** Uploads the blocks. `normBias`: LayerNorms have biases, in the fine model always. `layers.n.attn.bias` is a mask and is not read. */
export async function loadTrunk(device: Device, w: Weights, config: BarkSubModelConfig, normBias: boolean, options: LoadOptions): Promise<Trunk> {
  const { hidden_size: H, block_size, bias, num_layers } = config;
  const { owner } = options;
  const norm = async (name: string): Promise<Norm> => ({
    weight: await uploadVector(device, w.tensor(`${name}.weight`, [H], 'hidden_size'), owner),
    bias: normBias ? await uploadVector(device, w.tensor(`${name}.bias`, [H], 'hidden_size'), owner) : null,
  });
  const linearAt = async (name: string, n: number, k: number, before: Norm | null): Promise<Linear> => {
    const part = {
      weight: await uploadMatrix(device, w.tensor(`${name}.weight`, [n, k], 'hidden_size'), options),
      bias: bias ? await uploadVector(device, w.tensor(`${name}.bias`, [n], 'hidden_size'), owner) : null,
      norm: before,
    };
    options.onTensor?.();
    return { ...part, terms: await linearTerms(device, part, owner) };
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
  const positions = await uploadVector(device, w.tensor('position_embeds_layer.weight', [block_size, H], 'block_size'), owner);
  return { config, positions, blocks, normFinal: await norm('layernorm_final') };
}

/** A causal model with only these rows of its table and head. */
export async function loadCausalGpt(device: Device, w: Weights, config: BarkSubModelConfig, rows: { table: readonly RowRange[]; head: readonly RowRange[] }, options: LoadOptions): Promise<CausalGpt> {
  const { hidden_size: H, input_vocab_size, output_vocab_size } = config;
  const trunk = await loadTrunk(device, w, config, config.bias, options);
  const table = await uploadMatrix(device, w.tensor('input_embeds_layer.weight', [input_vocab_size, H], 'input_vocab_size'), options, rows.table);
  const head = await uploadHead(device, w.tensor('lm_head.weight', [output_vocab_size, H], 'output_vocab_size'), trunk.normFinal, options, rows.head);
  return { ...trunk, table, head };
}

/** An output head: no bias, behind the final LayerNorm. */
export async function uploadHead(device: Device, ref: Parameters<typeof uploadMatrix>[1], norm: Norm, options: LoadOptions, rows?: readonly RowRange[]): Promise<Linear> {
  const part = { weight: await uploadMatrix(device, ref, options, rows), bias: null, norm };
  options.onTensor?.();
  return { ...part, terms: await linearTerms(device, part, options.owner) };
}

/** Tensors that `loadTrunk` and the two ends report to `onTensor`. */
export const trunkTensors = (config: BarkSubModelConfig): number => 4 * config.num_layers;

// ---------------------------------------------------------------------------------------------------- state

/** Keys and values of every layer, (B, heads, capacity, H / heads) each. */
export type KvCache = readonly LayerCache[];

export function createCache(device: Device, config: BarkSubModelConfig, batch: number, capacity: number, dtype: WeightDType, owner: Owner): KvCache {
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

// ---------------------------------------------------------------------------------------------------- forward

/** One token of every sentence: embedding, blocks, head over the rows of `window`. Five dispatches a layer and two. Gives logits (B, window.count). */
export function decodeStep(r: Recorder, gpt: CausalGpt, cache: KvCache, state: Tensor, window?: RowWindow): Tensor {
  const B = cache[0]!.keys.shape[0]!;
  const H = gpt.config.hidden_size;
  const x = r.temp([B, H], 'x');
  const q = r.temp([B, H], 'q');
  const y = r.temp([B, H], 'attention');
  const h = r.temp([B, 4 * H], 'mlp');
  embeddingRow(r, x, gpt.table, gpt.positions, state);
  for (const [n, block] of gpt.blocks.entries()) {
    qkvRow(r, q, cache[n]!, x, block.attnIn, state);
    attentionRow(r, y, q, cache[n]!, state);
    linearRow(r, x, y, block.attnOut, state, { residual: true }); // x += attn(ln1(x))
    linearRow(r, h, x, block.mlpIn, state, { gelu: true });
    linearRow(r, x, h, block.mlpOut, state, { residual: true }); // x += mlp(ln2(x))
  }
  const logits = r.temp([B, window?.count ?? gpt.head.weight.shape[0]!], 'logits');
  linearRow(r, logits, x, gpt.head, state, window ? { window } : {});
  r.free(x, q, y, h);
  return logits;
}

/**
 * Many positions of one sentence through the blocks, x (M, H) in place; keys and values go to row call.slot of the cache from call.start on.
 * `cacheOnly` stops where nothing but the cache is wanted: behind the last layer's keys and values.
 */
export function runBlocks(r: Recorder, gpt: Trunk, x: Tensor, cache: KvCache, call: Tensor, { causal, cacheOnly = false }: { causal: boolean; cacheOnly?: boolean }): void {
  const [M, H] = x.shape as [number, number];
  const normed = r.temp([M, H], 'normed');
  const q = r.temp([M, H], 'q');
  const h = r.temp([M, 4 * H], 'mlp');
  for (const [n, block] of gpt.blocks.entries()) {
    layerNorm(r, normed, x, block.attnIn.norm!, call);
    qkv(r, q, cache[n]!, normed, block.attnIn, call);
    if (cacheOnly && n === gpt.blocks.length - 1) break;
    attention(r, normed, q, cache[n]!, call, { causal });
    linear(r, x, normed, block.attnOut, call, { residual: true }); // x += attn(ln1(x))
    layerNorm(r, normed, x, block.mlpIn.norm!, call);
    linear(r, h, normed, block.mlpIn, call, { gelu: true });
    linear(r, x, h, block.mlpOut, call, { residual: true }); // x += mlp(ln2(x))
  }
  r.free(normed, q, h);
}

/** Embeds ids (M, C) u32 and runs the blocks; see `embedding` for `columns` and `vocab`. Gives the residual stream (M, H). */
export function runTokens(r: Recorder, gpt: Trunk, table: Tensor, ids: Tensor, cache: KvCache, call: Tensor, options: { causal: boolean; cacheOnly?: boolean; columns?: number; vocab?: number }): Tensor {
  const x = r.temp([ids.shape[0]!, gpt.config.hidden_size], 'x');
  const { columns = 1, vocab = table.shape[0]! } = options;
  embedding(r, x, ids, table, gpt.positions, call, { columns, vocab });
  runBlocks(r, gpt, x, cache, call, options);
  return x;
}

/** Logits (M, N) of a residual stream (M, H): the final LayerNorm and a head of N rows. */
export function headLogits(r: Recorder, gpt: Trunk, x: Tensor, head: Pick<Linear, 'weight' | 'bias'>, call: Tensor): Tensor {
  const normed = r.temp(x.shape, 'normed');
  layerNorm(r, normed, x, gpt.normFinal, call);
  const logits = r.temp([x.shape[0]!, head.weight.shape[0]!], 'logits');
  linear(r, logits, normed, head, call);
  r.free(normed);
  return logits;
}
